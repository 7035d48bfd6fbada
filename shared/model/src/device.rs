//! The only place where a compute device has a name.

pub use burn::tensor::Device;

use crate::Error;

/// The device for a setting: `auto` and `flex` are the CPU in pure Rust; `tch` is LibTorch on the CPU.
pub fn compute_device(name: &str) -> Result<Device, Error> {
    match name {
        "auto" | "flex" => Ok(Device::flex()),
        #[cfg(feature = "tch")]
        "tch" => Ok(libtorch()),
        _ => Err(Error::Device { name: name.to_owned(), available: available().to_owned() }),
    }
}

#[cfg(feature = "tch")]
#[expect(deprecated, reason = "burn-tch has no successor for LibTorch; it is named here alone")]
fn libtorch() -> Device {
    Device::libtorch()
}

fn available() -> &'static str {
    if cfg!(feature = "tch") { "auto, flex, tch" } else { "auto, flex" }
}
