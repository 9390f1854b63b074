"""wavejit compiles the sample loop of autoregressive neural vocoders into native code.

import wavejit

vocoder = wavejit.load("voice").compile()
audio = vocoder.generate(features)
speech = wavejit.Speaker().say("Hello, world.")
"""

from wavejit.errors import InputError
from wavejit.model import Model, load
from wavejit.speaker import Speaker
from wavejit.vocoder import Vocoder

__version__ = "0.1.0"
__all__ = ["InputError", "Model", "Speaker", "Vocoder", "__version__", "load"]
