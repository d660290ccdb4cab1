//! Parameters by name.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu};

use crate::{state, trained};

#[test]
fn parameters_and_gradients_have_names_in_one_order() {
    let (mut layer, x) = trained();
    let (_, pass) = layer.forward_training(&x).unwrap();
    let gradients = pass.backward(&x).unwrap();
    let names = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>();
    let expected = ["gamma", "beta"];
    assert_eq!(names(&mut layer.parameters().map(|one| one.0)), expected);
    assert_eq!(
        names(&mut gradients.parameters().map(|one| one.0)),
        expected
    );
    let (_, dbeta) = gradients.parameters().last().unwrap();
    assert_eq!(dbeta.to_vec().unwrap(), [9.0, 15.0]);
    for (name, array) in layer.parameters_mut() {
        let value = if name == "gamma" { 2.0 } else { 3.0 };
        array.set(&[value; 2]).unwrap();
    }
    assert_eq!(state(&layer)[..2], [vec![2.0, 2.0], vec![3.0, 3.0]]);

    let only_beta = BatchNormConfig::new(2).gamma(false);
    let mut layer = BatchNorm::new(&Cpu::new(), only_beta).unwrap();
    assert_eq!(names(&mut layer.parameters().map(|one| one.0)), ["beta"]);
    assert_eq!(layer.parameters_mut().count(), 1);
}
