//! The only place where a compute device has a name.

use burn::backend::DispatchDevice;
pub use burn::tensor::Device;
use burn::tensor::{DType, Tensor};

use crate::error::Error;

/// The precision of weights and activations. Tables, losses and Adam's moments
/// are f32 always.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Numbers with 24 bits of significand.
    #[default]
    F32,
    /// Numbers with 8 bits of significand, for devices that multiply such
    /// matrices faster.
    Bf16,
}

impl Precision {
    /// The name that the precision has in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// How many bytes a number takes.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// The kernels that know a tensor's memory.
pub(crate) enum Engine {
    /// Loops over host memory.
    Flex,
    /// LibTorch's fused operators on its own tensors.
    #[cfg(feature = "tch")]
    LibTorch,
    /// Compositions of burn's operators, for any other memory and for all under
    /// autodiff.
    Other,
}

impl Engine {
    /// The kernels that know the memory of `tensor`.
    pub(crate) fn of(tensor: &Tensor<2>) -> Self {
        let device = tensor.device();
        let device = device.as_dispatch();
        #[cfg(feature = "tch")]
        if matches!(device, DispatchDevice::LibTorch(_)) {
            return Self::LibTorch;
        }
        if matches!(device, DispatchDevice::Flex(_))
            && tensor.dtype() == DType::F32
        {
            return Self::Flex;
        }
        Self::Other
    }
}

/// A device that was asked for and is there.
#[derive(Debug, Clone)]
pub struct ComputeDevice {
    /// The device that computes.
    pub device: Device,
    /// The name that it has in settings: `flex`, `tch`, `tch-cuda:N` or
    /// `cuda:N`.
    pub name: String,
    /// The reason why it was taken, for the log.
    pub reason: &'static str,
}

impl ComputeDevice {
    /// Refuses a precision that the device does not have in hardware: it would
    /// be slower there, not faster.
    pub fn check(&self, precision: Precision) -> Result<(), Error> {
        let has_it = match precision {
            Precision::F32 => true,
            Precision::Bf16 => self.has_bf16(),
        };
        if has_it {
            return Ok(());
        }
        Err(Error::Precision {
            device: self.name.clone(),
        })
    }

    /// Refuses a precision in which the device cannot keep the weights of a
    /// backbone that only answers: flex can without hardware, for it multiplies
    /// in f32.
    pub fn check_backbone(&self, precision: Precision) -> Result<(), Error> {
        if packs_weights(&self.device) {
            return Ok(());
        }
        self.check(precision)
    }

    fn has_bf16(&self) -> bool {
        match &*self.name {
            "tch" => cpu_has_bf16(),
            name => name.starts_with("tch-cuda"),
        }
    }
}

/// Whether the device has a product with packed weights
/// (`kernels/packed.rs`).
pub(crate) fn packs_weights(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the CPU has AVX-512-BF16, which every CPU with AMX has too.
fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The device for a setting:
///
/// - `flex`: the CPU in pure Rust, in every build;
/// - `tch`: LibTorch on the CPU, `tch-cuda:N`: LibTorch on the Nth graphics
///   card, in builds with the feature `tch`;
/// - `cuda:N`: CubeCL on the Nth graphics card, in builds with the feature
///   `cuda`;
/// - `auto`: the fastest of these that works here; a card of CubeCL's only
///   where it is the only way to a card.
pub fn compute_device(setting: &str) -> Result<ComputeDevice, Error> {
    if setting == "auto" {
        return Ok(fastest());
    }
    let found = match setting {
        "flex" => Some(Device::flex()),
        other => libtorch::device(other).or_else(|| cubecl::device(other)),
    };
    let device = found.ok_or_else(|| Error::Device {
        name: setting.to_owned(),
        available: available_devices().join(", "),
    })?;
    Ok(ComputeDevice {
        device,
        name: setting.to_owned(),
        reason: "the settings name it",
    })
}

/// How many cores this process may use.
pub fn n_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether the device is a graphics card: what it holds is not the host's
/// memory.
#[cfg_attr(
    feature = "tch",
    expect(deprecated, reason = "burn-tch has no successor for LibTorch")
)]
pub fn has_own_memory(device: &Device) -> bool {
    match device.as_dispatch() {
        #[cfg(feature = "cuda")]
        DispatchDevice::Cube(_) => true,
        #[cfg(feature = "tch")]
        DispatchDevice::LibTorch(device) => {
            matches!(device, burn::backend::LibTorchDevice::Cuda(_))
        }
        DispatchDevice::Flex(_) => false,
        DispatchDevice::Autodiff(_) => has_own_memory(&device.clone().inner()),
    }
}

/// True for a device whose loops are divided among rayon's threads.
pub(crate) fn computes_on_rayon(device: &Device) -> bool {
    match device.as_dispatch() {
        #[cfg(feature = "cuda")]
        DispatchDevice::Cube(_) => false,
        #[cfg(feature = "tch")]
        DispatchDevice::LibTorch(_) => false,
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(_) => {
            computes_on_rayon(&device.clone().inner())
        }
    }
}

/// Has LibTorch compute on `n` threads; it takes one a core otherwise. flex
/// computes on rayon's.
pub fn use_threads(n: usize) {
    libtorch::use_threads(n);
}

/// What can be asked for here, slowest first.
pub fn available_devices() -> Vec<String> {
    let mut names = vec!["flex".to_owned()];
    let libtorch = libtorch::names();
    // LibTorch on a card has kernels of its own here, CubeCL runs the
    // compositions of burn's operators.
    let has_cards = libtorch.len() > 1;
    let cubecl = cubecl::names();
    names.extend(
        if has_cards {
            [cubecl, libtorch]
        } else {
            [libtorch, cubecl]
        }
        .concat(),
    );
    names
}

fn fastest() -> ComputeDevice {
    let name = available_devices().pop().unwrap_or_default();
    let reason = match &*name {
        "flex" => {
            "this build has nothing faster: the feature `tch` brings LibTorch"
        }
        "tch" => {
            "LibTorch computes faster than pure Rust on a CPU, and there is no graphics card that it can use"
        }
        name if name.starts_with("cuda:") => {
            "there is a graphics card, and CubeCL is the way to it in this build"
        }
        _ => "there is a graphics card that LibTorch can use",
    };
    let device = libtorch::device(&name)
        .or_else(|| cubecl::device(&name))
        .unwrap_or_else(Device::flex);
    ComputeDevice {
        device,
        name,
        reason,
    }
}

#[cfg(feature = "tch")]
mod libtorch {
    use super::Device;

    #[expect(
        deprecated,
        reason = "burn-tch has no successor for LibTorch; it is named here alone"
    )]
    pub(super) fn device(name: &str) -> Option<Device> {
        match name {
            "tch" => {
                use_one_thread_a_core();
                Some(Device::libtorch())
            }
            _ => {
                let index: usize =
                    name.strip_prefix("tch-cuda:")?.parse().ok()?;
                (index < n_cards()).then(|| Device::libtorch_cuda(index))
            }
        }
    }

    pub(super) fn names() -> Vec<String> {
        let cards = (0..n_cards())
            .rev()
            .map(|index| format!("tch-cuda:{index}"));
        std::iter::once("tch".to_owned()).chain(cards).collect()
    }

    fn n_cards() -> usize {
        usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
    }

    /// LibTorch counts the machine's cores, whatever share of them a container
    /// has.
    fn use_one_thread_a_core() {
        use_threads(super::n_cores());
    }

    pub(super) fn use_threads(n: usize) {
        tch::set_num_threads(i32::try_from(n).unwrap_or(1));
    }
}

#[cfg(not(feature = "tch"))]
mod libtorch {
    use super::Device;

    pub(super) fn device(_: &str) -> Option<Device> {
        None
    }

    pub(super) fn names() -> Vec<String> {
        Vec::new()
    }

    pub(super) fn use_threads(_: usize) {}
}

#[cfg(feature = "cuda")]
mod cubecl {
    use burn::tensor::DeviceType;

    use super::Device;

    pub(super) fn device(name: &str) -> Option<Device> {
        let index: usize = name.strip_prefix("cuda:")?.parse().ok()?;
        (index < n_cards()).then(|| Device::cuda(index))
    }

    /// The cards by name, the first one last: it is taken by `auto`.
    pub(super) fn names() -> Vec<String> {
        (0..n_cards())
            .rev()
            .map(|index| format!("cuda:{index}"))
            .collect()
    }

    fn n_cards() -> usize {
        Device::enumerate(DeviceType::Cuda).into_vec().len()
    }
}

#[cfg(not(feature = "cuda"))]
mod cubecl {
    use super::Device;

    pub(super) fn device(_: &str) -> Option<Device> {
        None
    }

    pub(super) fn names() -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        for name in ["cuda:99", "tch-cuda:99", "gpu", ""] {
            let error = compute_device(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{name}`")) && error.contains("flex"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_precision_without_hardware_is_refused() {
        let flex = compute_device("flex").unwrap();
        assert!(flex.check(Precision::F32).is_ok());
        let error = flex.check(Precision::Bf16).unwrap_err().to_string();
        assert!(error.contains("flex") && error.contains("f32"), "{error}");
    }

    #[test]
    fn flex_keeps_a_backbone_in_any_precision() {
        let flex = compute_device("flex").unwrap();
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(flex.check_backbone(precision).is_ok());
        }
    }

    #[test]
    fn auto_takes_the_last_and_says_why() {
        let device = compute_device("auto").unwrap();
        assert_eq!(Some(&device.name), available_devices().last());
        assert!(!device.reason.is_empty());
    }
}
