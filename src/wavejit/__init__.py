"""wavejit compiles the sample loop of autoregressive neural vocoders into native code.

import wavejit

vocoder = wavejit.load("voice").compile()
audio = vocoder.generate(features)
"""

from wavejit.errors import InputError
from wavejit.vocoder import Model, Vocoder, load

__version__ = "0.1.0"
__all__ = ["InputError", "Model", "Vocoder", "__version__", "load"]
