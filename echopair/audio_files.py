"""Which files hold audio that libsndfile decodes."""

# By the file's name, in lower case.
AUDIO_EXTENSIONS = (
    *(".wav", ".wave", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist"),
)
UNKNOWN_FRAMES = (1 << 63) - 1  # libsndfile's number where a file declares no length
