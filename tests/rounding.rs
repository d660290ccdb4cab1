//! Results that the range of a type, or a rounding on the way, could take digits from.

use batchnorm::{Activation, Cpu, Level, Shape};
use contract_suite::data::{Random, round, with_x};
use contract_suite::run::{How, backward, check_backward, forward};

/// γ·inv_std is beyond f32, and γ·x̂ is not.
#[test]
fn a_factor_beyond_the_type_is_no_loss() {
    let mut random = Random::new(9);
    let shapes = [
        Shape::channels_first(&[5, 3, 21]).unwrap(),
        Shape::channels_first(&[2, 40, 900]).unwrap(),
        Shape::channels_last(&[70, 3]).unwrap(),
    ];
    for shape in shapes {
        let mut problem = with_x::<f32>(shape, vec![0.0; shape.len()], 4);
        // The last channel is an ordinary one.
        for c in 0..shape.channels() {
            let is_near = c + 1 < shape.channels();
            let (deviation, gamma) = if is_near { (1e-25, -3e15) } else { (2.0, 1.5) };
            for i in problem.channel(c).collect::<Vec<_>>() {
                problem.x[i] = round::<f32>(deviation * (0.7 + random.normal()));
                let dy = if is_near { 1e-20 } else { 1.0 };
                problem.dy[i] = round::<f32>(dy * random.normal());
            }
            problem.gamma[c] = round::<f32>(gamma);
        }
        problem.epsilon = 1e-60;
        for level in Level::available() {
            let cpu = Cpu::with_threads(2).unwrap().at_level(level).unwrap();
            for activation in [Activation::None, Activation::Relu] {
                problem.activation = activation;
                for how in [How::Fused, How::Composed] {
                    check_backward::<f32, Cpu>(&cpu, &problem, how);
                }
            }
            let answer = forward::<f32, Cpu>(&cpu, &problem, How::Fused);
            let [apart, in_place] = [false, true].map(|in_place| {
                backward::<f32, Cpu>(&cpu, &problem, &answer, How::Fused, in_place)
            });
            assert_eq!(apart, in_place);
        }
    }
}
