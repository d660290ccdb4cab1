//! The contract suite on GPU 0, planned as `BATCHNORM_PLAN` says.

/// Makes a test of each check.
macro_rules! on_gpu {
    ($($module:ident::$check:ident),* $(,)?) => {
        $(#[test] fn $check() {
            if let Some(gpu) = crate::gpu(stringify!($check)) {
                contract_suite::$module::$check(&gpu);
            }
        })*
    };
}

contract_suite::for_each_check!(on_gpu);
