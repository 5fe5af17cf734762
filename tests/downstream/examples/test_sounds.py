import numpy as np
import pytest
from scipy import signal

from downstream.examples.sounds import (
    FRAMES,
    HOP,
    KINDS,
    MELS,
    RATE,
    SAMPLES,
    WINDOW,
    log_mel,
    mel_filters,
    spectrograms,
)

TIME = np.arange(SAMPLES) / RATE


def test_all_kinds_in_turn_as_one_band() -> None:
    made = list(spectrograms(12, seed=0))
    assert [name.split("/")[0] for name, _ in made] == 2 * sorted(KINDS)
    for _, pixels in made:
        assert pixels.shape == (MELS, FRAMES) and pixels.dtype == np.float32
        assert np.isfinite(pixels).all()


def test_power_is_that_of_scipys_transform() -> None:
    wave = np.random.default_rng(0).normal(size=SAMPLES)
    window = signal.get_window("hann", WINDOW)
    transform = signal.ShortTimeFFT(window, HOP, RATE)
    first = WINDOW // 2 // HOP  # whose window begins with the wave
    power = abs(transform.stft(wave, p0=first, p1=first + FRAMES)) ** 2
    expected = 10 * np.log10(mel_filters() @ power)
    assert np.allclose(log_mel(wave, mel_filters()), expected, atol=1e-3)


def test_filters_overlap_to_one_and_none_is_empty() -> None:
    weights = mel_filters()
    peaks = weights.argmax(axis=1)
    assert (weights.max(axis=1) > 0).all() and (np.diff(peaks) >= 0).all()
    between = weights.sum(axis=0)[peaks[0] : peaks[-1] + 1]
    assert np.allclose(between, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_what_it_is_called(kind: str) -> None:
    """By the strength and the pitch of the sound over time."""
    for seed in range(5):
        wave = KINDS[kind](TIME, np.random.default_rng(seed))
        analytic = signal.hilbert(wave)
        strength = abs(analytic)[200:-200]
        hertz = np.diff(np.unwrap(np.angle(analytic)))[200:-200] * RATE / 2 / np.pi
        steady = strength.std() / strength.mean() < 0.05
        ends = hertz[:1_000].mean(), hertz[-1_000:].mean()
        rises = max(ends) / min(ends) > 2 if min(ends) > 0 else False
        assert steady == (kind in ("chirp", "fm"))
        if kind == "chirp":
            assert rises
        elif kind == "fm":
            assert hertz.std() > 0.05 * hertz.mean() and not rises
        elif kind == "am":
            assert hertz.std() < 0.05 * hertz.mean()


def test_a_string_has_the_harmonics_of_its_loop() -> None:
    wave = KINDS["plucked"](TIME, np.random.default_rng(3))
    spectrum = abs(np.fft.rfft(wave[SAMPLES // 2 :]))
    peaks, _ = signal.find_peaks(spectrum, height=spectrum.max() / 20, distance=20)
    ratios = peaks / np.diff(peaks).min()
    assert len(peaks) > 2 and abs(ratios - ratios.round()).max() < 0.25
