//! PyTorch and oneDNN: Python programs that take their turns in processes of their own (`python/serve.py`).

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::allocator::Allocator;
use crate::contender::{Column, Contender};
use crate::problem::{EPSILON, Layout, PassKind, Problem, RUNNING_MEAN, RUNNING_VARIANCE, Result};

/// A library in a process of its own, which waits for problems.
pub struct Peer {
    column: Column,
    /// With its version.
    name: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Peer {
    /// Starts one of those that `python/serve.py` knows. Problems will be found in the folder.
    pub fn start(
        contender: &str,
        column: Column,
        interpreter: &Path,
        threads: usize,
        allocator: Allocator,
        folder: &Path,
    ) -> Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/serve.py");
        let mut process = Command::new(interpreter)
            .arg("-B")
            .arg(program)
            .args([contender, &threads.to_string()])
            .envs(allocator.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", interpreter.display()))?;
        let mut peer = Self {
            column,
            name: contender.into(),
            requests: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().ok_or("no pipe")?),
            process,
            folder: folder.into(),
        };
        peer.name = peer.answer()?;
        Ok(peer)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn column(&self) -> Column {
        self.column
    }

    /// Whether it has a layout for such a problem.
    pub fn takes(&self, problem: &Problem) -> bool {
        self.column != Column::OneDnnBlocked || problem.layout == Layout::First
    }

    /// Gives it a problem that lies in the folder already.
    pub fn prepare(peer: &Rc<RefCell<Self>>, problem: &Problem) -> Result<Box<dyn Contender>> {
        let mut this = peer.borrow_mut();
        let request = json!({ "prepare": {
            "dims": problem.dims,
            "layout": problem.layout,
            "sets": problem.sets,
            "epsilon": EPSILON,
            "running_mean": RUNNING_MEAN,
            "running_variance": RUNNING_VARIANCE,
            "folder": this.folder,
        } });
        let how: Option<String> = this.ask(&request)?;
        let name = match how {
            Some(how) => format!("{}, {how}", this.name),
            None => this.name.clone(),
        };
        Ok(Box::new(Prepared {
            peer: Rc::clone(peer),
            name,
        }))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        let requests = self.requests.as_mut().ok_or("no pipe")?;
        writeln!(requests, "{request}")
            .map_err(|error| format!("{} asks for nothing more: {error}", self.name))?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("{} ended: {}", self.name, self.process.wait()?).into());
        }
        let mut answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer["error"].as_str() {
            return Err(format!("{}: {error}", self.name).into());
        }
        Ok(serde_json::from_value(answer["ok"].take())?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Without requests it ends by itself.
        self.requests = None;
        self.process.wait().ok();
    }
}

/// One that has a problem.
struct Prepared {
    peer: Rc<RefCell<Peer>>,
    name: String,
}

impl Contender for Prepared {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn column(&self) -> Column {
        self.peer.borrow().column
    }

    fn result(&mut self, pass: PassKind) -> Result<Option<Vec<f32>>> {
        let mut peer = self.peer.borrow_mut();
        let () = peer.ask(&json!({ "result": pass }))?;
        let bytes = fs::read(peer.folder.join("result"))?;
        let (values, _) = bytes.as_chunks();
        Ok(Some(
            values
                .iter()
                .map(|&value| f32::from_ne_bytes(value))
                .collect(),
        ))
    }

    fn turn(&mut self, pass: PassKind, length: Duration) -> Result<Vec<f64>> {
        let request = json!({ "turn": pass, "seconds": length.as_secs_f64() });
        self.peer.borrow_mut().ask(&request)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Its arrays are many. If it cannot, the next request will say so.
        let released: Result<()> = self.peer.borrow_mut().ask(&json!({ "release": true }));
        released.ok();
    }
}
