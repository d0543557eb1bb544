//! Portable code compiled for what the processor has.

/// Defines a function that is compiled twice: as it is, and for AVX2. Which of the two runs is chosen when it is called,
/// and they do the same.
///
/// What it calls must be inlined into it to gain anything.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }
                if is_x86_feature_detected!("avx2") {
                    #[allow(unsafe_code, reason = "a function of a CPU feature is called where it was detected")]
                    // SAFETY: the processor has AVX2.
                    return unsafe { with_avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}

pub(crate) use vectorized;
