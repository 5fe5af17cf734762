"""Sounds of six kinds as spectrograms of one band: synthesised, as physics and radio make them."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from downstream.examples.draw import Picture, rng_of

RATE = 16_000  # samples a second
WINDOW, HOP, FRAMES, MELS = 512, 256, 64, 64
SAMPLES = (FRAMES - 1) * HOP + WINDOW  # a little over a second
FLOOR = 1e-10  # of power, so that silence has a logarithm
SNR = (-15.0, 5.0)  # dB, of the sound to white noise
SUFFIX = ".npy"

Wave = NDArray[np.float64]


def spectrograms(images: int, seed: int) -> Iterator[Picture]:
    """(64, 64) float32, mel bands from low to high by time, in dB; a folder for each kind."""
    weights = mel_filters()
    names = list(KINDS)
    for index in range(images):
        name = names[index % len(names)]
        rng = rng_of(seed, index)
        time = np.arange(SAMPLES) / RATE
        wave = KINDS[name](time, rng)
        wave = wave / wave.std()
        wave = wave + rng.normal(0, 10 ** (-rng.uniform(*SNR) / 20), SAMPLES)
        wave = wave * 10 ** (rng.uniform(-20, 0) / 20)  # how loud it was recorded says nothing
        yield f"{name}/{index:06d}{SUFFIX}", log_mel(wave, weights)


def am(time: Wave, rng: np.random.Generator) -> Wave:
    """A tone whose strength swings."""
    swing = 1 + rng.uniform(0.5, 1) * np.sin(2 * np.pi * rng.uniform(3, 12) * time)
    return swing * np.sin(2 * np.pi * pitch(rng) * time)


def fm(time: Wave, rng: np.random.Generator) -> Wave:
    """A tone whose pitch swings."""
    middle, speed = pitch(rng), rng.uniform(3, 12)
    index = rng.uniform(0.1, 0.4) * middle / speed  # of modulation: deviation by speed
    return np.sin(2 * np.pi * middle * time + index * np.sin(2 * np.pi * speed * time))


def chirp(time: Wave, rng: np.random.Generator) -> Wave:
    """A tone that rises or falls over two octaves or more."""
    ends = rng.permutation([rng.uniform(200, 800), rng.uniform(3_200, 6_000)])
    wave: Wave = signal.chirp(time, ends[0], time[-1], ends[1], rng.choice(["linear", "log"]))
    return wave


def noise_band(time: Wave, rng: np.random.Generator) -> Wave:
    """Noise of a third of an octave."""
    edges = pitch(rng) * 2 ** np.array([-1 / 6, 1 / 6])
    bands = signal.butter(4, edges, "bandpass", fs=RATE, output="sos")
    wave: Wave = signal.sosfilt(bands, rng.normal(size=len(time)))
    return wave


def pulses(time: Wave, rng: np.random.Generator) -> Wave:
    """A train of clicks, each a tone that dies away within some milliseconds."""
    period = int(RATE / rng.uniform(4, 16))
    clicks = np.zeros(len(time))
    clicks[rng.integers(period) :: period] = 1
    decay = np.exp(-time[:1_000] / rng.uniform(0.002, 0.008))
    tone = decay * np.sin(2 * np.pi * pitch(rng) * time[:1_000])
    wave: Wave = signal.lfilter(tone, 1, clicks)
    return wave


def plucked(time: Wave, rng: np.random.Generator) -> Wave:
    """A string by Karplus and Strong (1983): a burst of noise in a loop that averages."""
    period = int(RATE / rng.uniform(100, 800))
    noise, start = rng.uniform(-1, 1, period), rng.integers(len(time) // 2)
    burst = np.zeros(len(time))
    burst[start : start + period] = noise - noise.mean()
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -0.498, -0.498  # half each, a little lost
    wave: Wave = signal.lfilter([1], loop, burst)
    return wave


KINDS: dict[str, Callable[[Wave, np.random.Generator], Wave]] = {
    "am": am,
    "chirp": chirp,
    "fm": fm,
    "noise-band": noise_band,
    "plucked": plucked,
    "pulses": pulses,
}


def pitch(rng: np.random.Generator) -> float:
    """Hz, as many in each octave from 300 to 4,800."""
    return float(300 * 2 ** rng.uniform(0, 4))


def log_mel(wave: Wave, weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """(mel bands, frames) float32: 10 log10 of the power in each band."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * signal.get_window("hann", WINDOW), axis=1)
    power = weights @ (np.abs(spectrum) ** 2).T
    return (10 * np.log10(np.maximum(power, FLOOR))).astype(np.float32)


def mel_filters() -> NDArray[np.float64]:
    """(mel bands, frequencies): triangles that overlap by half, as wide on the mel scale.

    Mel of f Hz is 2595 log10(1 + f / 700), after O'Shaughnessy (1987).
    """
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    low, middle, high = (edges[i : i + MELS, None] for i in range(3))
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.minimum(rising, falling).clip(0)
