//! THE ONLY KERNEL LOOKUP: a kernel's name to its function on the device, loaded when it is first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use cudarc::driver::sys::CUfunction_attribute as Attribute;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, DriverError, sys};
use cudarc::nvrtc::Ptx;

use crate::cuda::driver_error::driver_error;
use crate::cuda::modules;
use crate::cuda::version::CudaVersion;
use crate::error::{Error, Result};
use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::Kernel;

/// The kernels of one context.
#[derive(Debug)]
pub(super) struct Kernels {
    context: Arc<CudaContext>,
    architecture: u32,
    shared_per_block: u32,
    driver: CudaVersion,
    loaded: RwLock<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    modules: HashMap<String, Arc<CudaModule>>,
    count: LoadedModules,
    functions: HashMap<Kernel, CudaFunction>,
}

/// How many modules of kernels are loaded, by the form that the driver took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadedModules {
    /// As the machine code that the build has ([`BATCHNORM_CUDA_CUBINS`](crate::manual::cuda)).
    pub machine_code: usize,
    /// As PTX, which the driver compiled, or had compiled before.
    pub ptx: usize,
}

impl Kernels {
    /// Those of a context, loaded once for all of its streams and threads while any backend has them.
    pub(super) fn of_context(
        context: &Arc<CudaContext>,
        attributes: &Attributes,
        driver: CudaVersion,
    ) -> Arc<Self> {
        static OF_CONTEXTS: Mutex<Vec<Weak<Kernels>>> = Mutex::new(Vec::new());
        // A panic elsewhere leaves the list as it was: it is changed in one step.
        let mut of_contexts = OF_CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut living = of_contexts.iter().filter_map(Weak::upgrade);
        if let Some(kernels) = living.find(|kernels| kernels.context == *context) {
            return kernels;
        }
        of_contexts.retain(|kernels| kernels.strong_count() > 0);
        let kernels = Arc::new(Self::new(context, attributes, driver));
        of_contexts.push(Arc::downgrade(&kernels));
        kernels
    }

    fn new(context: &Arc<CudaContext>, attributes: &Attributes, driver: CudaVersion) -> Self {
        Self {
            context: context.clone(),
            architecture: attributes.architecture,
            shared_per_block: attributes.shared_per_block,
            driver,
            loaded: RwLock::default(),
        }
    }

    /// A kernel, ready to be launched with any cluster and all the shared memory that the device has.
    ///
    /// # Errors
    /// [`Error::KernelsNotBuilt`], [`Error::DriverTooOld`], [`Error::Driver`].
    pub(super) fn get(&self, kernel: Kernel) -> Result<CudaFunction> {
        // A panic elsewhere leaves the tables as they were: an entry is made in one step.
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(&kernel) {
            return Ok(function.clone());
        }
        drop(loaded);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let module = self.module(&mut loaded, kernel)?;
        let function = self
            .function(&module, kernel)
            .map_err(|error| driver_error("find a kernel", error))?;
        loaded.functions.insert(kernel, function.clone());
        Ok(function)
    }

    /// How many modules are loaded so far.
    pub(super) fn loaded_modules(&self) -> LoadedModules {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.count
    }

    /// Whether the device's form of a kernel knows clusters: those compiled for Hopper do.
    pub(super) fn knows_clusters(&self, kernel: Kernel) -> bool {
        let module = kernel.module();
        let form = modules::of_build(&module, self.architecture, self.driver);
        form.is_ok_and(|form| form.architecture >= 90)
    }

    fn module(&self, loaded: &mut Loaded, kernel: Kernel) -> Result<Arc<CudaModule>> {
        let name = kernel.module();
        if let Some(module) = loaded.modules.get(&name) {
            return Ok(module.clone());
        }
        let module = if let Some(module) = self.assembled(&name) {
            loaded.count.machine_code += 1;
            module
        } else {
            let module = self.compiled(&name)?;
            loaded.count.ptx += 1;
            module
        };
        loaded.modules.insert(name, module.clone());
        Ok(module)
    }

    /// A module of machine code, where the build has it and the driver takes it: an older driver than the assembler may
    /// not, and compiles the PTX.
    fn assembled(&self, name: &str) -> Option<Arc<CudaModule>> {
        let form = modules::assembled(name, self.architecture)?;
        let image = Ptx::from_binary(form.image.to_vec());
        self.context.load_module(image).ok()
    }

    /// A module that the driver compiles.
    fn compiled(&self, name: &str) -> Result<Arc<CudaModule>> {
        let form = modules::of_build(name, self.architecture, self.driver)?;
        self.context
            .load_module(Ptx::from_src(form.ptx))
            .map_err(|error| {
                let DriverError(code) = error;
                if code == sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION {
                    Error::DriverTooOld {
                        found: self.driver.to_string(),
                        needed: CudaVersion::of_ptx(form.version).to_string(),
                    }
                } else {
                    driver_error("load kernels", error)
                }
            })
    }

    fn function(
        &self,
        module: &Arc<CudaModule>,
        kernel: Kernel,
    ) -> Result<CudaFunction, DriverError> {
        self.context.bind_to_thread()?;
        let function = module.load_function(&kernel.name())?;
        let bytes = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let dynamic = bytes(self.shared_per_block) - function.shared_size_bytes()?;
        function.set_attribute(
            Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            dynamic,
        )?;
        if self.architecture >= 90 {
            function.set_attribute(
                Attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED,
                1,
            )?;
        }
        Ok(function)
    }
}
