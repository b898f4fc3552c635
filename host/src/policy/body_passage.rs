//! What an exchange and the hooks through which its request's body passes tell each other: why the body broke
//! off, and that nobody wants it any more.
//!
//! The body itself is with the upstream's connection, which may not move for as long as the upstream does not
//! read: a hook must not live on there when its exchange is gone.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::body_stage::{Hook, HookSlot};
use crate::error::GatewayError;

/// One request's.
#[derive(Clone, Default)]
pub struct BodyPassage(Rc<Passage>);

#[derive(Default)]
struct Passage {
    failure: RefCell<Option<GatewayError>>,
    hooks: RefCell<Vec<Weak<RefCell<Option<Hook>>>>>,
    idle: Cell<Duration>,
}

impl BodyPassage {
    /// Of a body that goes on for `idle` when the exchange has ended.
    pub fn bound(&self, idle: Duration) {
        self.0.idle.set(idle);
    }

    /// Takes out what has broken the body off: the first failure of its hooks, if there was one.
    pub fn take_failure(&self) -> Option<GatewayError> {
        self.0.failure.take()
    }

    /// The exchange has ended: without an answer, nobody wants the body. After one what the hooks still write
    /// goes on for a while, as the client's bytes would.
    pub fn end(&self, is_answered: bool) {
        let mut hooks = self.0.hooks.borrow_mut();
        hooks.retain(|hook| hook.strong_count() > 0);
        if hooks.is_empty() {
            return;
        }
        drop(hooks);
        if !is_answered {
            return self.0.let_go();
        }
        let passage = self.0.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(passage.idle.get()).await;
            passage.let_go();
        });
    }

    pub(super) fn add(&self, hook: &HookSlot) {
        self.0.hooks.borrow_mut().push(Rc::downgrade(hook));
    }

    pub(super) fn fail(&self, error: GatewayError) {
        self.0.failure.borrow_mut().get_or_insert(error);
    }
}

impl Passage {
    fn let_go(&self) {
        let hooks = self.hooks.take();
        for hook in hooks.iter().filter_map(Weak::upgrade) {
            drop(hook.take());
        }
    }
}
