#!/usr/bin/env bash
# pyloudnorm 0.1.1 finds a loud recording silent at a sample rate of 2 kHz.
#
# Its filters are those of ITU-R BS.1770, computed for any rate. The shelf has its centre at 1,500 Hz; at rates below 3 kHz that
# is above the Nyquist frequency, the filter is unstable and its output overflows. There is no error: numpy warns of an
# overflow, and the gate then leaves no block. Recorders of whales and elephants write such rates.
#
# Seen (Python 3.11, numpy==2.4.6 scipy==1.17.1), a sine of 100 Hz with amplitude 0.5, of 3 s:
#   48000 Hz: -10.89 LUFS    3000 Hz: -10.89 LUFS    2000 Hz: -inf LUFS    1000 Hz: -10.83 LUFS
# Expected at every rate: about -10.9 LUFS, or an error that names the rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyloudnorm==0.1.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math

import numpy as np
import pyloudnorm

loudness = {}
for rate in (48000, 3000, 2000, 1000):
    sine = 0.5 * np.sin(2 * np.pi * 100 * np.arange(3 * rate) / rate)
    loudness[rate] = pyloudnorm.Meter(rate).integrated_loudness(sine)
    print(f"{rate:6} Hz: {loudness[rate]:.2f} LUFS")
assert abs(loudness[48000] + 10.89) < 0.02
assert abs(loudness[3000] - loudness[48000]) < 0.02
assert loudness[2000] == -math.inf, "the behaviour has changed"
PYTHON
