//! Packets to frames: plan, decoders.
