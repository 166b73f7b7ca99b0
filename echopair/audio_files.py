"""Which files hold audio that libsndfile decodes, and which ffmpeg."""

import shutil

# By the file's name, in lower case.
AUDIO_EXTENSIONS = (
    *(".wav", ".wave", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist"),
)
UNKNOWN_FRAMES = (1 << 63) - 1  # libsndfile's number where a file declares no length

# What ffmpeg decodes where it is on the PATH: its name of the format, by extension.
FFMPEG_FORMATS = {
    **dict.fromkeys((".m4a", ".m4b", ".mp4", ".3gp"), "mov"),
    **dict.fromkeys((".webm", ".mka"), "matroska"),
    ".wma": "asf",
    **{f".{name}": name for name in ("aac", "ac3", "amr", "ape", "tta", "wv")},
}


def has_ffmpeg() -> bool:
    """Whether ffmpeg is on the PATH."""
    return shutil.which("ffmpeg") is not None
