//! What a program that listens is told of passes and steps on the processor (feature `tracing`).

mod listener;

use batchnorm::backend::{Backend, GradientsOfGradients, StatisticsMut};
use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Data, Level, Shape, Tensor};
use half::bf16;
use listener::told;

fn cpu() -> Cpu {
    let cpu = Cpu::with_threads(1).unwrap();
    cpu.at_level(Level::Portable).unwrap()
}

#[test]
fn each_pass_is_told_with_its_shape_and_plan() {
    let cpu = cpu();
    let shape = Shape::channels_first(&[4, 64, 28, 28]).unwrap();
    let x = Tensor::new(&cpu, shape, &vec![bf16::from_f32(0.5); shape.len()]).unwrap();
    let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(64)).unwrap();
    let events = told(|| {
        let (y, pass) = layer.forward_training(&x).unwrap();
        pass.backward(&y).unwrap();
        let of = GradientsOfGradients {
            input: Some(&y as &dyn Data<Cpu, Element = bf16>),
            ..GradientsOfGradients::default()
        };
        pass.double_backward(&y, of).unwrap();
        layer.forward_inference(&x).unwrap();
    });
    let expected = [
        "forward_training",
        "backward",
        "double_backward",
        "normalize",
    ];
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    for (event, pass) in events.iter().zip(expected) {
        let begin =
            format!("pass=\"{pass}\" shape={shape} dtype=bf16 level=portable threads=1 tiles=");
        let rest = event.strip_prefix(&begin).expect(event);
        let (tiles, whole_channels) = rest.split_once(" whole_channels=").expect(event);
        // 64 channels of 6 KB: more than one tile, and none without a channel.
        assert!(
            (2..=64).contains(&tiles.parse::<usize>().unwrap()),
            "{event}"
        );
        assert_eq!(whole_channels, "true", "{event}");
    }
}

#[test]
fn a_channel_that_no_cache_holds_is_told_to_be_cut() {
    let cpu = cpu();
    let shape = Shape::channels_first(&[2, 1, 512, 512]).unwrap();
    let x = Tensor::new(&cpu, shape, &vec![0.5f32; shape.len()]).unwrap();
    let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap();
    let events = told(|| drop(layer.forward_training(&x).unwrap()));
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].ends_with("whole_channels=false"), "{events:?}");
}

#[test]
fn nothing_is_told_of_a_pass_that_is_refused() {
    let cpu = cpu();
    let shape = Shape::channels_first(&[1, 3]).unwrap();
    let x = Tensor::new(&cpu, shape, &[1f32, 2.0, 3.0]).unwrap();
    let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(3)).unwrap();
    let events = told(|| {
        layer.forward_training(&x).unwrap_err();
        cpu.statistics::<f32>(
            &shape,
            &[1.0],
            1e-5,
            StatisticsMut {
                mean: &mut [0.0; 3][..],
                mean_low: &mut [0.0; 3][..],
                variance: &mut [0.0; 3][..],
                inv_std: &mut [0.0; 3][..],
                running: None,
            },
        )
        .unwrap_err();
    });
    assert!(events.is_empty(), "{events:?}");
}
