//! Portable code compiled for what the processor has.

/// What vectors there can be, from those that are had everywhere on. A processor with one kind has those before, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vectors {
    /// What every processor of the target has.
    Portable,
    /// With POPCNT, which every processor with AVX2 has, though it is a feature of its own.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// F, BW, DQ, VL, VBMI and VBMI2, as from Ice Lake and Zen 4 on.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    /// The best that the processor has; in tests, of those that the thread allows.
    #[inline]
    pub(crate) fn of_processor() -> Vectors {
        let found = Vectors::detect();
        #[cfg(test)]
        let found = found.min(tests::MOST.get());
        found
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn detect() -> Vectors {
        if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("popcnt") {
            return Vectors::Portable;
        }
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2");
        if has_avx512 {
            Vectors::Avx512
        } else {
            Vectors::Avx2
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    fn detect() -> Vectors {
        Vectors::Portable
    }
}

/// Defines a function that is compiled as it is, for AVX2, and for AVX-512. Which of them runs is chosen when it is
/// called, and they do the same.
///
/// What it calls must be inlined into it to gain anything.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,popcnt")]
            fn with_avx2($($argument: $type),*) $(-> $output)? {
                portable($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
            fn with_avx512($($argument: $type),*) $(-> $output)? {
                portable($($argument),*)
            }

            #[allow(unsafe_code, reason = "a function of a CPU feature is called where it was detected")]
            match $crate::simd::Vectors::of_processor() {
                // SAFETY: the processor has AVX-512.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Vectors::Avx512 => unsafe { with_avx512($($argument),*) },
                // SAFETY: the processor has AVX2.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Vectors::Avx2 => unsafe { with_avx2($($argument),*) },
                $crate::simd::Vectors::Portable => portable($($argument),*),
            }
        }
    };
}

pub(crate) use vectorized;

#[cfg(test)]
pub(crate) mod tests;
