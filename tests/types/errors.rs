//! Errors, and the errors behind them.

use std::error::Error;

use batchnorm::Cpu;

#[test]
fn an_error_of_another_library_is_the_source() {
    let missing = batchnorm::checkpoint::read_file("no such file").unwrap_err();
    let io = missing.source().unwrap().downcast_ref::<std::io::Error>();
    assert_eq!(io.unwrap().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(missing.clone(), missing);

    let broken = batchnorm::checkpoint::parse(b"12345678{}").unwrap_err();
    let source = broken.source().unwrap();
    assert!(source.is::<batchnorm::safetensors::SafeTensorError>());
    assert!(Cpu::with_threads(0).unwrap_err().source().is_none());
}
