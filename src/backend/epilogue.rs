//! What is done to the normalized values before they are stored, and to dy on the way back.

use crate::backend::activation::Activation;
use crate::backend::saved_activation::SavedActivation;

/// What is done to the normalized value v before it is rounded and stored: `y = activation(v + residual)`.
#[derive(Debug)]
pub struct Epilogue<S, M, W> {
    /// What is done last.
    pub activation: Activation,
    /// What is added first.
    pub residual: Option<S>,
    /// What is written for the backward pass: nothing, or what [`Activation::saves`] says.
    pub saved: SavedActivation<M, W>,
}

impl<S, M, W> Epilogue<S, M, W> {
    /// Without a residual, and with nothing saved.
    pub fn of(activation: Activation) -> Self {
        Self {
            activation,
            residual: None,
            saved: SavedActivation::Nothing,
        }
    }

    /// With a residual.
    #[must_use]
    pub fn with_residual(self, residual: S) -> Self {
        Self {
            residual: Some(residual),
            ..self
        }
    }
}

/// An activation on the way back: `dv = dy · activation'(v)`.
#[derive(Debug, Clone, Copy)]
pub struct ActivationBackward<M, V> {
    /// Which.
    pub activation: Activation,
    /// What the forward pass saved of it. With nothing, v is recomputed from x: right where there was no residual.
    pub saved: SavedActivation<M, V>,
}

impl<M, V> ActivationBackward<M, V> {
    /// With nothing saved.
    pub fn of(activation: Activation) -> Self {
        Self {
            activation,
            saved: SavedActivation::Nothing,
        }
    }
}
