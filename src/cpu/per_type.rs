//! Functions that are compiled in this crate, once for each data type, although they are generic: a crate that uses this one would
//! else compile them itself, in a debug build without optimization.

/// A trait whose functions are the same for each of the types, and its implementation for each.
macro_rules! per_type {
    ([$($type:ty),*]; $(#[$about:meta])* pub trait $name:ident: $base:ident $functions:tt) => {
        per_type!(@declare [$(#[$about])*] $name: $base $functions);
        $(per_type!(@implement $name for $type $functions);)*
    };
    (@declare [$(#[$about:meta])*] $name:ident: $base:ident {$(
        $(#[$says:meta])*
        fn $function:ident($($operand:ident: $is:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*}) => {
        $(#[$about])*
        pub trait $name: $base {
            $($(#[$says])* fn $function($($operand: $is),*) $(-> $result)?;)*
        }
    };
    (@implement $name:ident for $type:ty {$(
        $(#[$says:meta])*
        fn $function:ident($($operand:ident: $is:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*}) => {
        impl $name for $type {
            $(fn $function($($operand: $is),*) $(-> $result)? $body)*
        }
    };
}
pub(crate) use per_type;
