"""From a lowered step to running code: engines, streams, and the cache of compiled code."""
