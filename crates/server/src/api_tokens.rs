//! Who may do what over HTTP: tokens with one of two roles, required only if any are configured.
//! Never shows or logs a token, and compares them in a time that does not depend on how much of one
//! is right.

use crate::secret::Secret;
use subtle::ConstantTimeEq;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Reading.
    Read,
    /// Reading, creating, changing and deleting.
    Manage,
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The service requires a token, and the request has none.
    NoToken,
    /// The token is not one of the configured ones.
    UnknownToken,
    /// The token allows reading only.
    ReadOnly,
}

/// The configured tokens.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Tokens that allow reading.
    pub read: Vec<Secret>,
    /// Tokens that allow everything.
    pub manage: Vec<Secret>,
}

impl Tokens {
    /// Whether requests need a token.
    pub fn are_required(&self) -> bool {
        !self.read.is_empty() || !self.manage.is_empty()
    }

    /// The role of the sender of this `Authorization`. Without configured tokens everybody may do
    /// everything.
    pub(crate) fn role(&self, authorization: Option<&[u8]>) -> Result<Role, Denied> {
        if !self.are_required() {
            return Ok(Role::Manage);
        }
        let token = authorization.and_then(bearer).ok_or(Denied::NoToken)?;
        // Compares with all of them, even after a match.
        let among = |tokens: &[Secret]| {
            let same = |t: &&Secret| bool::from(t.expose().as_bytes().ct_eq(token));
            tokens.iter().filter(same).count() > 0
        };
        match (among(&self.manage), among(&self.read)) {
            (true, _) => Ok(Role::Manage),
            (false, true) => Ok(Role::Read),
            (false, false) => Err(Denied::UnknownToken),
        }
    }
}

impl Role {
    /// Denies a request that the role does not allow.
    pub(crate) fn allows(self, needed: Self) -> Result<(), Denied> {
        if self >= needed { Ok(()) } else { Err(Denied::ReadOnly) }
    }
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_role_of_its_list_and_an_unknown_one_has_none() {
        let secret = |text: &str| vec![Secret::new(text)];
        let tokens = Tokens { read: secret("look"), manage: secret("rule") };
        let role = |sent: &str| tokens.role(Some(sent.as_bytes()));
        assert_eq!(role("Bearer look"), Ok(Role::Read));
        assert_eq!(role("bearer rule"), Ok(Role::Manage));
        for unknown in ["Bearer ", "Bearer loo", "Bearer look2", "Bearer LOOK"] {
            assert_eq!(role(unknown), Err(Denied::UnknownToken), "{unknown}");
        }
        for none in ["", "Bearer", "Basic rule", "rule"] {
            assert_eq!(role(none), Err(Denied::NoToken), "{none}");
        }
        assert_eq!(tokens.role(None), Err(Denied::NoToken));
        assert_eq!(Tokens::default().role(None), Ok(Role::Manage));
    }

    #[test]
    fn a_reader_may_not_change_anything() {
        assert_eq!(Role::Read.allows(Role::Read), Ok(()));
        assert_eq!(Role::Read.allows(Role::Manage), Err(Denied::ReadOnly));
        assert_eq!(Role::Manage.allows(Role::Read), Ok(()));
        assert_eq!(Role::Manage.allows(Role::Manage), Ok(()));
    }
}
