//! The contract suite: one set of checks for every backend, against the textbook in f64.
//!
//! Here are the checks; whoever has a backend makes tests of them. [`for_each_check`] and [`for_each_check_of_slices`] give
//! the names of all checks to a macro of the caller's, so that none is forgotten anywhere.
#![allow(
    clippy::missing_panics_doc,
    reason = "a check that fails panics, as a test does"
)]

pub mod activation_error;
pub mod activations;
pub mod adapted;
pub mod adversary;
pub mod backward;
pub mod comparison;
pub mod data;
pub mod determinism;
pub mod double_backward;
pub mod double_backward_lengths;
pub mod errors;
pub mod factors;
pub mod forward;
pub mod from_output;
pub mod gradient_sums;
pub mod kept;
pub mod layers;
pub mod memory;
pub mod outputs;
pub mod precision;
pub mod quantized;
pub mod ranks;
pub mod reference;
pub mod renormalization;
pub mod renormalized_run;
pub mod run;
pub mod shapes;
pub mod split;
pub mod synchronized;
pub mod tolerance;

/// What every backend must pass: `tests!(module::check, ...)`.
#[macro_export]
macro_rules! for_each_check {
    ($tests:ident) => {
        $tests! {
            forward::forward_with_running_statistics_matches_the_textbook,
            forward::forward_of_large_arrays_matches_the_textbook,
            forward::forward_of_streamed_arrays_matches_the_textbook,
            forward::forward_composed_of_steps_matches_the_textbook,
            forward::running_statistics_follow_at_once,
            forward::running_statistics_are_kept_finite,
            forward::a_variance_beyond_the_type_is_followed,
            backward::backward_training_matches_the_textbook_in_f32,
            backward::backward_training_matches_the_textbook_in_f16,
            backward::backward_training_matches_the_textbook_in_bf16,
            backward::backward_training_matches_the_textbook_in_f64,
            backward::backward_frozen_matches_the_textbook,
            backward::backward_of_large_arrays_matches_the_textbook,
            backward::backward_of_streamed_arrays_matches_the_textbook,
            backward::backward_composed_of_steps_matches_the_textbook,
            activations::leaky_relu_matches_the_textbook,
            activations::silu_matches_the_textbook,
            activations::relu6_matches_the_textbook,
            activations::hardswish_matches_the_textbook,
            activations::elu_matches_the_textbook,
            activations::sigmoid_and_tanh_match_the_textbook,
            activations::gelu_matches_the_textbook,
            activations::activations_of_single_values,
            activations::activations_of_large_arrays_match_the_textbook,
            precision::a_large_mean_costs_no_digits,
            precision::halves_are_rounded_to_the_nearest,
            precision::a_constant_gives_exactly_beta,
            factors::a_constant_gives_exactly_beta_on_any_scale,
            factors::a_factor_beyond_the_type_is_no_loss,
            precision::an_outlier_first_costs_no_digits,
            precision::drifting_images_cost_no_digits,
            precision::values_near_the_largest,
            precision::values_near_the_smallest,
            precision::deviations_of_any_size,
            precision::small_deviations_between_ordinary_ones,
            precision::epsilon_tiny_and_large,
            precision::gamma_zero_and_negative,
            precision::nan_stays_in_its_channel,
            precision::infinity_stays_in_its_channel,
            precision::relu_passes_nan_on,
            precision::relu_agrees_with_what_was_stored,
            adversary::values_on_any_grid_cost_no_digits,
            adversary::a_border_of_zeros_costs_no_digits,
            adversary::one_value_unlike_the_others_costs_no_digits,
            adversary::a_mean_of_any_size_costs_no_digits,
            gradient_sums::one_gradient_near_the_mean_of_three_values_keeps_its_digits,
            gradient_sums::one_gradient_near_the_mean_of_few_values_keeps_its_digits,
            gradient_sums::subnormal_gradients_lose_no_bits,
            gradient_sums::gradients_near_the_largest,
            gradient_sums::gradients_that_overflow_where_they_are_added_up,
            memory::in_place_gives_the_same_bits,
            outputs::nothing_is_left_of_what_was_in_memory,
            determinism::runs_change_no_bit,
            renormalization::renormalized_batches_match_the_textbook_in_f32,
            renormalization::renormalized_batches_match_the_textbook_in_f16,
            renormalization::renormalized_batches_match_the_textbook_in_bf16,
            renormalization::renormalized_batches_match_the_textbook_in_f64,
            renormalization::renormalized_large_arrays_match_the_textbook,
            renormalization::a_layer_renormalizes_as_the_steps_do,
            renormalization::bad_limits_of_renormalization_are_refused,
            adapted::adapted_inference_matches_the_textbook,
            adapted::adapted_inference_of_no_weight_is_inference,
            quantized::a_device_quantizes_or_writes_nothing,
            split::groups_have_the_bits_of_layers_of_their_own,
            split::shared_parameters_have_the_sum_of_all_gradients,
            quantized::wrong_lengths_of_quantized_inference_are_refused,
            kept::a_device_keeps_a_part_or_writes_nothing,
            double_backward::a_device_has_second_derivatives_or_writes_nothing,
            from_output::a_device_goes_back_from_y_or_writes_nothing,
            double_backward_lengths::wrong_lengths_of_second_derivatives_are_refused,
            synchronized::ranks_are_one_batch_in_f32,
            synchronized::ranks_are_one_batch_in_f16,
            synchronized::ranks_are_one_batch_in_bf16,
            synchronized::ranks_are_one_batch_in_f64,
            synchronized::frozen_ranks_are_one_batch,
            synchronized::the_order_of_ranks_changes_no_bit,
            synchronized::one_rank_has_the_bits_of_the_layer,
            errors::wrong_lengths_are_refused_and_nothing_is_written,
            errors::bad_epsilon_is_refused,
            errors::what_no_activation_saves_is_refused,
            errors::too_few_values_are_refused,
        }
    };
}

/// What only the processor's own operands (slices) can show, and what only the processor has: second derivatives, and backward
/// from y.
#[macro_export]
macro_rules! for_each_check_of_slices {
    ($tests:ident) => {
        $tests! {
            memory::any_alignment_gives_the_same_bits,
            memory::nothing_outside_is_written,
            determinism::threads_change_no_bit,
            renormalization::limits_of_nothing_change_no_bit,
            renormalization::threads_change_no_bit_of_a_renormalized_batch,
            determinism::levels_that_round_alike_agree,
            gradient_sums::sums_beyond_the_type_cost_no_dx,
            factors::a_factor_beyond_the_type_is_no_loss_in_bf16,
            factors::a_slope_beyond_the_type_is_no_loss,
            double_backward::double_backward_training_matches_the_textbook_in_f32,
            double_backward::double_backward_training_matches_the_textbook_in_f16,
            double_backward::double_backward_training_matches_the_textbook_in_bf16,
            double_backward::double_backward_training_matches_the_textbook_in_f64,
            double_backward::double_backward_frozen_matches_the_textbook,
            double_backward::missing_gradients_of_gradients_are_zero,
            double_backward::double_backward_of_large_arrays_matches_the_textbook,
            double_backward::second_derivatives_are_slopes_of_the_gradients,
            double_backward::nan_stays_in_its_channel_of_second_derivatives,
            double_backward::gradients_of_any_size_keep_their_digits_in_second_derivatives,
            double_backward::large_means_cost_no_digits_in_second_derivatives,
            double_backward::threads_change_no_bit_of_second_derivatives,
            double_backward::levels_agree_in_second_derivatives,
            quantized::quantized_inference_matches_the_textbook_in_f32,
            quantized::quantized_inference_matches_the_textbook_in_f16,
            quantized::quantized_inference_matches_the_textbook_in_bf16,
            quantized::quantized_inference_matches_the_textbook_in_f64,
            quantized::quantized_inference_of_large_arrays_matches_the_textbook,
            quantized::exact_values_are_rounded_to_even,
            quantized::what_is_not_finite_is_quantized,
            quantized::nothing_outside_is_quantized,
            quantized::threads_change_no_bit_of_quantized_inference,
            from_output::backward_from_y_matches_the_textbook_in_f32,
            from_output::backward_from_y_matches_the_textbook_in_f16,
            from_output::backward_from_y_matches_the_textbook_in_bf16,
            from_output::backward_from_y_matches_the_textbook_in_f64,
            from_output::backward_from_y_of_large_arrays_matches_the_textbook,
            from_output::a_gamma_of_any_size_goes_back_from_y,
            from_output::threads_change_no_bit_of_a_backward_from_y,
            kept::what_is_kept_matches_the_textbook_in_f32,
            kept::what_is_kept_matches_the_textbook_in_f16,
            kept::what_is_kept_matches_the_textbook_in_bf16,
            kept::what_is_kept_matches_the_textbook_in_f64,
            kept::what_is_kept_matches_the_textbook_frozen,
            kept::what_is_kept_of_large_arrays_matches_the_textbook,
            kept::computed_activations_of_what_is_kept_match_the_textbook,
            kept::large_means_of_what_is_kept_cost_no_digits,
            kept::deviations_of_any_size_of_what_is_kept,
            kept::threads_change_no_bit_of_what_is_kept,
            kept::levels_agree_in_what_is_kept,
            kept::nothing_kept_gives_zeros,
        }
    };
}
