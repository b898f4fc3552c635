//! Decisions in a store that several gateways share: one script call for all limits of a request, and none
//! where this gateway's notes answer already.

use crate::decision::{Decision, Demand, MAX_LIMITS, StoreError};
use crate::gcra::Standing;
use crate::kv::{self, Cells, MAX_LOST_SWAPS};
use crate::note::Note;
use crate::redis::{Answer, Ask};

/// The script in the shared store.
pub trait Script {
    /// Runs it for these limits; one answer for each.
    fn eval(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, StoreError>;
}

/// What becomes of one limit of the request.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    /// As it is kept, if one is.
    note: Option<Note>,
    /// Paid with units that the gateway had.
    paid: Option<Standing>,
    /// The request speaks for the gateway.
    speaks: bool,
    lease: u32,
    owed_us: u64,
    /// The TAT of the gateway's own bucket that goes with `owed_us`.
    own_tat_us: u64,
}

/// Decides a request of `demands` (at most [`MAX_LIMITS`]).
///
/// `cells` keep the notes; without a grant for them every request asks the store. `gateways` is how many share
/// each limit while the store is away ([`decide_alone`]), when they do.
pub fn decide(
    script: &impl Script,
    cells: &impl Cells,
    demands: &[Demand],
    gateways: Option<u32>,
) -> Result<Decision, StoreError> {
    let mut courses = [Course::default(); MAX_LIMITS];
    let courses = &mut courses[..demands.len().min(MAX_LIMITS)];
    for (course, demand) in courses.iter_mut().zip(demands) {
        match read(cells, demand) {
            Ok(note) => course.note = note,
            Err(StoreError::Denied(_)) => return ask(script, demands, courses),
            Err(error) => return Err(error),
        }
    }
    // After the notes, which are then no newer than the clock; and before the store is asked, so that what it
    // answers is never taken for fresher than it is.
    let now_us = cells.now_us();
    if let Some(refusal) = known_refusal(demands, courses, now_us) {
        return Ok(refusal);
    }
    for (course, demand) in courses.iter_mut().zip(demands) {
        prepare(cells, demand, course, gateways, now_us);
    }
    let decided = ask(script, demands, courses);
    for (i, (course, demand)) in courses.iter().zip(demands).enumerate() {
        let standing = decided.as_ref().map(|decided| decided.standings()[i]);
        let passed = decided.as_ref().is_ok_and(Decision::allowed);
        conclude(cells, demand, course, standing.ok(), passed, now_us);
    }
    decided
}

/// Decides by the part of each limit that is one of `gateways`, in buckets of this gateway's own: for the
/// time in which the shared store does not answer.
///
/// A cost beyond the part's burst counts as that burst.
pub fn decide_alone(
    cells: &impl Cells,
    demands: &[Demand],
    gateways: u32,
) -> Result<Decision, StoreError> {
    let own = |demand: &Demand| {
        let rate = demand.rate.share(gateways);
        Demand {
            key: own_key(&demand.key),
            rate,
            cost: demand.cost.min(rate.burst()),
            ..demand.clone()
        }
    };
    kv::decide(cells, &demands.iter().map(own).collect::<Vec<_>>())
}

/// The refusal of the limits that are known to refuse, if one is.
fn known_refusal(demands: &[Demand], courses: &[Course], now_us: u64) -> Option<Decision> {
    let refusal = |i: usize| courses[i].note?.refusal(&demands[i], now_us);
    if !(0..courses.len()).any(|i| refusal(i).is_some()) {
        return None;
    }
    let unknown = Standing {
        allowed: true,
        ..Standing::default()
    };
    Some(Decision::collect(demands, |i| {
        refusal(i).unwrap_or(unknown)
    }))
}

/// Pays with units that the gateway has, or makes the request speak for it where there is something to say.
fn prepare(
    cells: &impl Cells,
    demand: &Demand,
    course: &mut Course,
    gateways: Option<u32>,
    now_us: u64,
) {
    if demand.lease > 0 && demand.cost > 0 {
        let paid = update(cells, demand, course.note, now_us, |note| {
            note.spend(demand, now_us)
        });
        if let Some(note) = paid {
            course.note = paid;
            course.paid = Some(note.spent(demand, now_us));
            return;
        }
    }
    let note = course.note.unwrap_or_default();
    if let Some(gateways) = gateways {
        let own_tat_us = kv::tat_us(cells, &own_key(&demand.key)).unwrap_or(None);
        course.own_tat_us = own_tat_us.unwrap_or(0);
        course.owed_us = note.untold_us(own_tat_us, now_us) / u64::from(gateways);
    }
    course.lease = demand.lease.saturating_sub(note.units(now_us));
    if course.lease > 0 || course.owed_us > 0 {
        // One attempt: whoever loses the swap leaves it to the winner.
        let speaking = note.speak(now_us);
        let won = speaking.filter(|speaking| swap(cells, demand, course.note, *speaking, now_us));
        course.speaks = won.is_some();
        course.note = won.or(course.note);
    }
    if !course.speaks {
        (course.lease, course.owed_us) = (0, 0);
    }
}

/// Asks about the limits that are not paid.
fn ask(
    script: &impl Script,
    demands: &[Demand],
    courses: &mut [Course],
) -> Result<Decision, StoreError> {
    let mut asks = Vec::with_capacity(demands.len());
    for (course, demand) in courses.iter().zip(demands) {
        if course.paid.is_none() {
            asks.push(Ask {
                demand,
                lease: course.lease,
                owed_us: course.owed_us,
            });
        }
    }
    let answers = if asks.is_empty() {
        Vec::new()
    } else {
        script.eval(&asks)?
    };
    let mut answers = answers.into_iter();
    Ok(Decision::collect(demands, |i| {
        if let Some(paid) = courses[i].paid {
            return paid;
        }
        let Some(answer) = answers.next() else {
            return Standing::default();
        };
        courses[i].lease = answer.leased;
        let remaining = answer.standing.remaining.saturating_add(answer.leased);
        Standing {
            remaining,
            ..answer.standing
        }
    }))
}

/// Notes what the store has answered; `standing` is absent when it has not.
fn conclude(
    cells: &impl Cells,
    demand: &Demand,
    course: &Course,
    standing: Option<Standing>,
    passed: bool,
    asked_us: u64,
) {
    if course.paid.is_some() {
        if !passed {
            update(cells, demand, course.note, asked_us, |note| {
                Some(note.receive(demand, demand.cost, asked_us))
            });
        }
        return;
    }
    let refusal = standing.filter(|standing| !standing.allowed && !demand.is_shadow);
    if refusal.is_none() && !course.speaks {
        return;
    }
    update(cells, demand, course.note, asked_us, |note| {
        let mut note = note;
        if course.speaks {
            note = note.fall_silent();
        }
        if let (Some(standing), true) = (standing, course.speaks) {
            note = note.told(course.own_tat_us);
            if passed && standing.allowed {
                note = note.heard(&standing, asked_us);
                note = note.receive(demand, course.lease, asked_us);
            }
        }
        if let Some(standing) = refusal {
            note = note.refused(demand, &standing, asked_us);
        }
        Some(note)
    });
}

/// Changes a note, which is `note` unless others have been faster; `None`: there is no change to make, or
/// the store of notes has no room.
fn update(
    cells: &impl Cells,
    demand: &Demand,
    mut note: Option<Note>,
    now_us: u64,
    change: impl Fn(Note) -> Option<Note>,
) -> Option<Note> {
    for _ in 0..MAX_LOST_SWAPS {
        let changed = change(note.unwrap_or_default())?;
        if swap(cells, demand, note, changed, now_us) {
            return Some(changed);
        }
        let present = read(cells, demand).ok()?;
        // Not a lost race but a refusal to write.
        if present == note {
            return None;
        }
        note = present;
    }
    None
}

fn read(cells: &impl Cells, demand: &Demand) -> Result<Option<Note>, StoreError> {
    let value = cells.get(&note_key(&demand.key))?;
    Ok(value.as_deref().and_then(Note::read))
}

fn swap(cells: &impl Cells, demand: &Demand, from: Option<Note>, to: Note, now_us: u64) -> bool {
    let expect = from.map(Note::to_bytes);
    let expect = expect.as_ref().map(<[u8; _]>::as_slice);
    let ttl_ms = kv::ttl_ms(to.until_us(), now_us);
    let swapped = cells.swap(&note_key(&demand.key), expect, &to.to_bytes(), ttl_ms);
    swapped.unwrap_or(false)
}

fn note_key(key: &str) -> String {
    ["note:", key].concat()
}

fn own_key(key: &str) -> String {
    ["own:", key].concat()
}

#[cfg(test)]
mod tests;
