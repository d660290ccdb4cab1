//! Who runs in a process of their own, and who could not be started.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::arguments::Arguments;
use crate::contender::Column;
use crate::problem::Result;
use crate::python::Peer;
use crate::{burn_layer, candle_layer, environment};

/// Its name, an interpreter that is to be used instead, and whom it runs.
type Environment<'a> = (&'a str, &'a Option<PathBuf>, &'a [(&'a str, Column)]);

pub struct Peers {
    pub running: Vec<Rc<RefCell<Peer>>>,
    /// Why, for each environment of which nobody runs.
    pub not_run: Vec<String>,
}

impl Peers {
    /// Starts all, in environments that are made for them where no interpreter is given.
    pub fn start(arguments: &Arguments, folder: &Path) -> Result<Self> {
        let mut peers = Self {
            running: vec![],
            not_run: vec![],
        };
        if arguments.no_python {
            peers
                .not_run
                .push("PyTorch and oneDNN, by --no-python".into());
            return Ok(peers);
        }
        let onednn = [
            ("onednn-plain", Column::OneDnn),
            ("onednn-blocked", Column::OneDnnBlocked),
        ];
        let environments: [Environment; 3] = [
            (
                "pytorch",
                &arguments.pytorch_python,
                &[("pytorch", Column::PyTorch)],
            ),
            ("onednn", &arguments.onednn_python, &onednn),
            ("onednn-openmp", &arguments.onednn_openmp_python, &onednn),
        ];
        for (environment, given, contenders) in environments {
            let started = given
                .clone()
                .map_or_else(|| environment::interpreter(environment), Ok)
                .and_then(|interpreter| {
                    let start = |&(contender, column): &(&str, Column)| {
                        let (threads, allocator) = (arguments.threads(), arguments.allocator);
                        Peer::start(contender, column, &interpreter, threads, allocator, folder)
                    };
                    contenders.iter().map(start).collect::<Result<Vec<Peer>>>()
                });
            match started {
                Ok(started) => {
                    let started = started.into_iter();
                    peers
                        .running
                        .extend(started.map(|peer| Rc::new(RefCell::new(peer))));
                }
                Err(error) if arguments.require_python => return Err(error),
                Err(error) => peers.not_run.push(format!("{environment}: {error}")),
            }
        }
        Ok(peers)
    }

    /// Columns that nobody fills.
    pub fn missing(&self) -> Vec<Column> {
        let filled = |column| {
            self.running
                .iter()
                .any(|peer| peer.borrow().column() == column)
        };
        let theirs = [Column::PyTorch, Column::OneDnn, Column::OneDnnBlocked];
        theirs
            .into_iter()
            .filter(|&column| !filled(column))
            .collect()
    }

    pub fn versions(&self) -> String {
        let mut names: Vec<String> = vec![candle_layer::THEIRS.into(), burn_layer::THEIRS.into()];
        for peer in &self.running {
            let name = peer.borrow().name().to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join("; ")
    }
}
