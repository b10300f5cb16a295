//! Asking the processor for memory that will be read soon, where it cannot foresee that itself.

/// Asks the processor to load a value of less than a line's length.
#[inline]
pub(crate) fn fetch<T>(value: &T) {
    const { assert!(size_of::<T>() <= 64) };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a prefetch is a hint that reads nothing and cannot fault; both addresses
        // lie inside the value behind the reference.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at);
            if align_of::<T>() < size_of::<T>() {
                _mm_prefetch::<_MM_HINT_T0>(at.add(size_of::<T>() - 1));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
