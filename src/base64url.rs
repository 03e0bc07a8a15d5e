//! base64url without padding (RFC 7515, section 2), by the CPU's vector instructions where it has
//! them. As strict as `URL_SAFE_NO_PAD`: a text that would not be written is not read.

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
pub(crate) static BASE64URL: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| {
        base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
    });

#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
pub(crate) use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
