//! What a person who tunes may say about the plan: the environment variable `BATCHNORM_PLAN`.
//!
//! A list of settings with commas between them, such as `strategy=ticketed,group=4`:
//!
//! | setting | meaning |
//! |---|---|
//! | `strategy=` (or `way=`) `split`, `on-chip`, `ticketed`, `persistent` | the only one a fused pass may take; split where it cannot |
//! | `cluster=` 1, 2, 4, 8, 16 | the only cluster size an on-chip kernel may take |
//! | `columns=` packets | how wide a group of columns is |
//! | `group=` channels | how many channels the ticketed kernels have in flight |

use std::sync::OnceLock;

use crate::gpu::kernel::Strategy;

/// The settings that were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The only strategy.
    pub strategy: Option<Strategy>,
    /// The only cluster size.
    pub cluster: Option<usize>,
    /// Packets of a row of a group.
    pub columns: Option<usize>,
    /// Channels in flight.
    pub group: Option<usize>,
}

impl Tuning {
    /// From `BATCHNORM_PLAN`, read once. What cannot be understood is reported on standard error and ignored.
    pub fn of_environment() -> &'static Self {
        static TUNING: OnceLock<Tuning> = OnceLock::new();
        TUNING.get_or_init(|| {
            let text = std::env::var("BATCHNORM_PLAN").unwrap_or_default();
            Self::parse(&text).unwrap_or_else(|reason| {
                eprintln!("BATCHNORM_PLAN is ignored: {reason}");
                Self::default()
            })
        })
    }

    /// From such a list.
    ///
    /// # Errors
    /// The setting that means nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tuning = Self::default();
        for setting in text
            .split(',')
            .map(str::trim)
            .filter(|setting| !setting.is_empty())
        {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("{setting:?} has no '='"))?;
            let number = || match value.parse() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(format!("{name} must be a number above 0, got {value:?}")),
            };
            match name {
                "strategy" | "way" => {
                    tuning.strategy = Some(match value {
                        "split" => Strategy::Split,
                        "on-chip" => Strategy::OnChip,
                        "ticketed" => Strategy::Ticketed,
                        "persistent" => Strategy::Persistent,
                        _ => {
                            return Err(format!(
                                "{name} must be split, on-chip, ticketed or persistent, got {value:?}"
                            ));
                        }
                    });
                }
                "cluster" => tuning.cluster = number()?,
                "columns" => tuning.columns = number()?,
                "group" => tuning.group = number()?,
                _ => {
                    return Err(format!(
                        "there is no setting {name:?}: strategy (or way), cluster, columns, group"
                    ));
                }
            }
        }
        Ok(tuning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_in_any_order() {
        let tuning = Tuning::parse("group=4, way=ticketed").unwrap();
        assert_eq!(
            (tuning.strategy, tuning.group, tuning.cluster),
            (Some(Strategy::Ticketed), Some(4), None)
        );
        assert_eq!(Tuning::parse("strategy=ticketed,group=4"), Ok(tuning));
        assert_eq!(Tuning::parse("").unwrap(), Tuning::default());
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, named) in [
            ("way=fast", "fast"),
            ("cluster=0", "cluster"),
            ("speed=9", "speed"),
            ("way", "way"),
        ] {
            assert!(Tuning::parse(text).unwrap_err().contains(named));
        }
    }
}
