"""Names that options take, for type checkers; the compiled part checks them when it is called."""

from typing import Literal, TypeAlias

Fit: TypeAlias = Literal["crop", "pad", "stretch"]
Format: TypeAlias = Literal["rgb", "yuv420"]
Filter: TypeAlias = Literal["area", "bilinear", "bicubic", "lanczos"]
Layout: TypeAlias = Literal["TCHW", "THWC", "CTHW"]
DType: TypeAlias = Literal["uint8", "float16", "bfloat16", "float32"]
OnError: TypeAlias = Literal["raise", "skip", "substitute"]
Ragged: TypeAlias = Literal["error", "pad", "bucket"]
Engine: TypeAlias = Literal["auto", "uring", "pread", "mmap", "memory"]
DirectIo: TypeAlias = Literal["auto", "on", "off"]
Checksum: TypeAlias = Literal["on", "off"]
