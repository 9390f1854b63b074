"""A voice that speaks in milliseconds: small networks with random weights, which babble."""

from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import save_file

from wavejit.acoustic.model import FORMAT as ACOUSTIC_FORMAT
from wavejit.acoustic.model import AcousticConfig
from wavejit.acoustic.networks import AcousticNetwork, shapes
from wavejit.audio import FeatureContract
from wavejit.checkpoints.folder import ModelFiles, write_folder
from wavejit.models import mel_wavegru
from wavejit.models.mel_wavegru import MelWaveGRU
from wavejit.voice import FORMAT, VoiceConfig

FEATURES = FeatureContract(
    sample_rate=8000, hop_length=80, window_length=320, n_fft=512, bins=6, f_max=4000.0, pitch=True
)
NETWORK = AcousticNetwork(reader=10, prosody=8, contour=3, decoder=12, bins=6)
VOCODER = MelWaveGRU(
    sample_rate=8000, width=16, dense=12, channels=8, hop_length=80, conditioning_width=8, context=3,
    components=2, history=2, pitch_taps=3, longest_period=40,
)  # fmt: skip


def small_voice(folder: Path) -> Path:
    """Write the voice into `folder`: phonemes of about 6 frames, a pitch of about 200 Hz."""
    rng = np.random.default_rng(3)
    weights = {name: (0.15 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes(NETWORK).items()}
    weights["prosody.out.bias"][0] = np.log(6)
    (folder / "acoustic").mkdir(parents=True)
    config = AcousticConfig(format=ACOUSTIC_FORMAT, network=NETWORK, features=FEATURES)
    (folder / "acoustic" / "config.json").write_bytes(msgspec.json.encode(config))
    save_file(weights, folder / "acoustic" / "model.safetensors")
    random = mel_wavegru.FAMILY.random_weights(VOCODER, seed=4)
    write_folder(folder / "vocoder", ModelFiles(mel_wavegru.FAMILY, VOCODER, random, FEATURES))
    voice = VoiceConfig(format=FORMAT, name="babble", precision="float32", temperature=0.5)
    (folder / "voice.json").write_bytes(msgspec.json.encode(voice))
    return folder
