//! The Python module of framefeed.
