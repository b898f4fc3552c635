//! The places that a request holds, as they are kept with the exchange until it ends.

use crate::claim::{Claim, Outcome};

/// Where the places are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the store that gateways share.
    Store,
    /// In this gateway's memory, since no other store is granted.
    Memory,
    /// In this gateway's memory, since the shared store does not answer.
    Alone,
}

/// What must be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Where.
    pub place: Place,
    /// Tells the holder from others of the same key: in Redis a random number, in memory the moment at which
    /// the place is free again.
    pub token: u64,
    /// One for each place held.
    pub keys: Vec<String>,
}

impl Hold {
    /// Those of `claims` that `outcome` has given.
    pub fn new(place: Place, token: u64, claims: &[Claim], outcome: &Outcome) -> Self {
        let held = claims.iter().enumerate();
        let held = held.filter(|(i, _)| outcome.passes() && outcome.holds(*i));
        Self {
            place,
            token,
            keys: held.map(|(_, claim)| claim.key.clone()).collect(),
        }
    }

    /// As it is kept: the place, the token, the keys with a line feed before each.
    pub fn to_state(&self) -> Vec<u8> {
        let mut state = vec![match self.place {
            Place::Store => 0,
            Place::Memory => 1,
            Place::Alone => 2,
        }];
        state.extend_from_slice(&self.token.to_le_bytes());
        for key in &self.keys {
            state.push(b'\n');
            state.extend_from_slice(key.as_bytes());
        }
        state
    }

    /// Reads what [`Hold::to_state`] wrote.
    pub fn from_state(state: &[u8]) -> Option<Self> {
        let (place, rest) = state.split_first()?;
        let (token, keys) = rest.split_at_checked(8)?;
        let keys = std::str::from_utf8(keys).ok()?;
        Some(Self {
            place: match place {
                0 => Place::Store,
                1 => Place::Memory,
                2 => Place::Alone,
                _ => return None,
            },
            token: u64::from_le_bytes(token.try_into().ok()?),
            keys: keys.split('\n').skip(1).map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_survives_the_way_to_the_end() {
        for (place, keys) in [
            (Place::Store, vec!["a:{x}".to_owned(), "b:{x}".to_owned()]),
            (Place::Memory, vec!["a:{x}".to_owned()]),
            (Place::Alone, vec![]),
        ] {
            let token = u64::MAX - 1;
            let hold = Hold { place, token, keys };
            assert_eq!(Hold::from_state(&hold.to_state()), Some(hold));
        }
        for junk in [
            &[][..],
            &[0; 8],
            &[3; 9],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff],
        ] {
            assert_eq!(Hold::from_state(junk), None);
        }
    }

    #[test]
    fn only_places_that_were_given_are_held() {
        let claim = |key: &str, is_shadow| Claim {
            key: key.to_owned(),
            bound: 1,
            is_shadow,
        };
        let claims = [claim("a", false), claim("b", true), claim("c", false)];
        let of = |holds: [bool; 3]| {
            let outcome = Outcome::collect(&claims, |i| holds[i]);
            Hold::new(Place::Store, 1, &claims, &outcome).keys
        };
        assert_eq!(of([true, true, true]), ["a", "b", "c"]);
        assert_eq!(of([true, false, true]), ["a", "c"]);
        assert_eq!(of([true, true, false]), [""; 0]);
    }
}
