//! Fields of FFmpeg's structures, read and written one by one. A reference to a whole structure would claim that all
//! of its fields hold values of their types; files decide some fields of enum types, which may hold numbers that the
//! headers lack.
//!
//! [`get`](macro@get) reads a field whose every bit pattern is a value ([`Plain`]), [`code`](macro@code) the number
//! in a field of an enum type, and [`set`](macro@set) writes a field.
#![expect(unsafe_code, reason = "fields of structures that FFmpeg owns")]

use ffmpeg_next::ffi;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A structure of FFmpeg that lives as long as its owner is borrowed, and that nobody writes to meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Live<'a, T> {
    pointer: NonNull<T>,
    owner: PhantomData<&'a T>,
}

impl<'a, T> Live<'a, T> {
    /// # Safety
    /// `pointer` is that of an initialised structure, which lives as long as `owner` is borrowed, and which nobody writes to
    /// meanwhile.
    pub(super) unsafe fn new<O: ?Sized>(pointer: *const T, _owner: &'a O) -> Self {
        // SAFETY: a structure has an address.
        let pointer = unsafe { NonNull::new_unchecked(pointer.cast_mut()) };
        Self { pointer, owner: PhantomData }
    }

    /// The structure, for FFmpeg's own functions and for the macros.
    pub(super) fn as_ptr(&self) -> *const T {
        self.pointer.as_ptr()
    }
}

/// A structure of FFmpeg that lives as long as its owner is borrowed mutably, and that nobody else uses meanwhile.
pub(super) struct LiveMut<'a, T> {
    pointer: NonNull<T>,
    owner: PhantomData<&'a mut T>,
}

impl<'a, T> LiveMut<'a, T> {
    /// # Safety
    /// `pointer` is that of an initialised structure, which lives as long as `owner` is borrowed, and which nobody else uses
    /// meanwhile.
    pub(super) unsafe fn new<O: ?Sized>(pointer: *mut T, _owner: &'a mut O) -> Self {
        // SAFETY: a structure has an address.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        Self { pointer, owner: PhantomData }
    }

    /// The structure, for FFmpeg's own functions and for the macros.
    pub(super) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

/// A type of which every bit pattern is a value.
///
/// # Safety
/// It is one.
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),+) => {
        $(
            // SAFETY: a number, or a structure of numbers.
            unsafe impl Plain for $type {}
        )+
    };
}

plain!(u8, i32, u32, i64, u64, ffi::AVRational);

// SAFETY: an address may be any number; nothing is said of what is there.
unsafe impl<T> Plain for *mut T {}
// SAFETY: as above.
unsafe impl<T> Plain for *const T {}
// SAFETY: elements, one beside the other.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// # Safety
/// `place` is an initialised field that nobody writes to meanwhile.
pub(super) unsafe fn read<T: Plain>(place: *const T) -> T {
    // SAFETY: by the caller's promise; any bit pattern is a value.
    unsafe { place.read() }
}

/// The number in a field of one of FFmpeg's enum types.
///
/// # Safety
/// `place` is such a field, initialised, that nobody writes to meanwhile.
pub(super) unsafe fn read_enum<T>(place: *const T) -> u32 {
    const { assert!(size_of::<T>() == size_of::<u32>() && align_of::<T>() == align_of::<u32>()) };
    // SAFETY: by the caller's promise the field can be read; any number of its size is a u32.
    unsafe { place.cast::<u32>().read() }
}

/// The value of a field of a [`Live`] or [`LiveMut`].
macro_rules! get {
    ($live:ident.$field:ident) => {{
        // SAFETY: the structure is alive, by the promise that made `$live`.
        let place = unsafe { &raw const (*$live.as_ptr()).$field };
        // SAFETY: as above; FFmpeg initialises all fields.
        unsafe { $crate::ffmpeg::live::read(place) }
    }};
}

/// The number in a field of an enum type of a [`Live`] or [`LiveMut`].
macro_rules! code {
    ($live:ident.$field:ident) => {{
        // SAFETY: the structure is alive, by the promise that made `$live`.
        let place = unsafe { &raw const (*$live.as_ptr()).$field };
        // SAFETY: as above; FFmpeg initialises all fields.
        unsafe { $crate::ffmpeg::live::read_enum(place) }
    }};
}

/// Writes a field of a [`LiveMut`].
macro_rules! set {
    ($live:ident.$field:ident = $value:expr) => {{
        let value = $value;
        let pointer: *mut _ = $live.as_ptr();
        // SAFETY: the structure is alive and nobody else uses it, by the promise that made `$live`.
        let place = unsafe { &raw mut (*pointer).$field };
        // SAFETY: as above; the fields of FFmpeg's structures own nothing that a write would have to drop.
        unsafe { place.write(value) };
    }};
}

pub(super) use {code, get, set};
