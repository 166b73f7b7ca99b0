"""Tables in the form that other programs write them, read with the configs of docs/guide/recordings.md."""

import re
from pathlib import Path

import pytest
import yaml

from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig

GUIDE = Path("docs/guide/recordings.md").read_text(encoding="utf-8")
DOCUMENTED = {
    name: config
    for block in re.findall(r"```yaml\n# exports.yaml\n(.*?)```", GUIDE, re.DOTALL)
    for name, config in yaml.safe_load(block)["corpora"].items()
}
RAVEN_OF_BIRDNET = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\tSpecies Code\t"
    "Confidence\tBegin Path\tFile Offset (s)\n"
)
KALEIDOSCOPE = (
    "INDIR,OUTDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,OUT FILE FS,DATE,TIME,AUTO ID,PULSES,MANUAL ID\n"
)
A, B = ("a.wav", (1.0, 2.5)), ("b.wav", (0.0, 3.0))

EXPORTS: dict[str, tuple[dict[str, str], list[tuple[str, tuple[float, float] | None, tuple[str, ...]]]]] = {
    "raven": (
        {
            "selections.txt": "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
            "Begin File\tFile Offset (s)\tAnnotation\n"
            "1\tWaveform 1\t1\t1.000000000\t2.500000000\t200.0\t900.5\ta.wav\t1.0000\towl\n"
            "1\tSpectrogram 1\t1\t1.000000000\t2.500000000\t200.0\t900.5\ta.wav\t1.0000\towl\n"
            "2\tSpectrogram 1\t1\t60.000000000\t63.000000000\t0.0\t8000.0\tb.wav\t0.0000\tjay\n"
        },
        [("audio/a.wav", A[1], ("owl",)), ("audio/b.wav", B[1], ("jay",))],
    ),
    "audacity": (
        {
            "a.txt": "1.000000\t2.500000\towl\n\\\t200.000000\t900.500000\n",
            "b.txt": "0.000000\t3.000000\tjay\n",
        },
        [(*A, ("owl",)), (*B, ("jay",))],
    ),
    "birdnet_csv": (
        {
            "out/a.BirdNET.results.csv": "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
            "1.0,2.5,Asio otus,Long-eared Owl,0.5123,/media/x/a.wav\n1.0,2.5,Strix aluco,Tawny Owl,0.9,/media/x/a.wav\n"
        },
        [("audio/a.wav", A[1], ("Long-eared Owl", "Tawny Owl"))],
    ),
    "birdnet_raven": (
        {
            "a.BirdNET.selection.table.txt": RAVEN_OF_BIRDNET
            + "1\tSpectrogram 1\t1\t1.0\t2.5\t0\t15000\tTawny Owl\ttawowl1\t0.9\t/media/x/a.wav\t1.0\n",
            "b.BirdNET.selection.table.txt": RAVEN_OF_BIRDNET
            + "1\tSpectrogram 1\t1\t0\t3\t0\t15000\tnocall\tnocall\t1.0\t/media/x/b.wav\t0\n",
        },
        [(*A, ("Tawny Owl",))],
    ),
    "birdnet_combined": (
        {
            "BirdNET_SelectionTable.txt": RAVEN_OF_BIRDNET
            + "1\tSpectrogram 1\t1\t1.0\t2.5\t0\t15000\tTawny Owl\ttawowl1\t0.9\t{root}/a.wav\t1.0\n"
            "2\tSpectrogram 1\t1\t60.0\t63.0\t0\t15000\tEurasian Jay\teurjay1\t0.7\t{root}/b.wav\t0.0\n"
        },
        [(*A, ("Tawny Owl",)), (*B, ("Eurasian Jay",))],
    ),
    "birdnet_audacity": (
        {"a.BirdNET.results.txt": "1.0\t2.5\tStrix aluco, Tawny Owl\t0.9000\n"},
        [(*A, ("Strix aluco, Tawny Owl",))],
    ),
    "sonic_visualiser": (
        {"a.csv": "1.000000000,440.5,1.500000000,owl\n", "b.csv": "0.000000000,300,3.000000000,jay\n"},
        [(*A, ("owl",)), (*B, ("jay",))],
    ),
    "kaleidoscope": (
        {
            "id.csv": KALEIDOSCOPE
            + "D:\\Bats,D:\\Out,,a.wav,0,1.0,1.5,o.wav,2024-05-01,21:00:00,PIPPIP,12,PIPPIP\n"
            "D:\\Bats,D:\\Out,site 1\\night 2,c.wav,0,0.0,3.0,o.wav,2024-05-01,21:01:00,Noise,0,NYCNOC\n"
            "D:\\Bats,D:\\Out,site 1,b.wav,0,0.0,3.0,o.wav,2024-05-01,21:02:00,PIPPIP,3,\n"
        },
        [(*A, ("PIPPIP",)), ("site 1/night 2/c.wav", (0.0, 3.0), ("NYCNOC",))],
    ),
    "xeno_canto": (
        {
            "train_metadata.csv": "primary_label,secondary_labels,scientific_name,common_name,author,filename\n"
            "tawowl1,\"['eurjay1', 'robin']\",Strix aluco,Tawny Owl,A. B.,a.wav\n"
        },
        [("train_audio/a.wav", None, ("tawowl1",))],
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_table_of_another_program_is_read_by_the_documented_config(tmp_path: Path, name: str) -> None:
    tables, expected = EXPORTS[name]
    for file, text in tables.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text.replace("{root}", str(tmp_path)))
    for folder in ("", "audio", "train_audio", "site 1", "site 1/night 2"):
        for recording in ("a.wav", "b.wav", "c.wav"):
            (tmp_path / folder / recording).parent.mkdir(exist_ok=True)
            (tmp_path / folder / recording).touch()
    config = TableCorpusConfig.model_validate({**DOCUMENTED[name], "root": tmp_path})
    found = find_table_recordings("c", config)
    assert [(str(one.path.relative_to(tmp_path)), one.excerpt, one.labels) for one in found] == expected


def test_every_documented_export_is_tried() -> None:
    assert set(DOCUMENTED) == set(EXPORTS)
