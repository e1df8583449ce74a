//! Who may do what over HTTP: tokens with one of two roles, asked for only if any are configured.
//! Never shows or logs a token, and compares them in a time that does not tell how much was right.

use crate::secret::Secret;
use subtle::ConstantTimeEq;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Read,
    /// To look, and to create, change and delete.
    Manage,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A token is asked for and there is none.
    NoToken,
    /// It is none of the configured ones.
    UnknownToken,
    /// It only allows to look.
    OnlyToLook,
}

/// The configured tokens.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// They allow to look.
    pub read: Vec<Secret>,
    /// They allow everything.
    pub manage: Vec<Secret>,
}

impl Tokens {
    /// Whether anybody is asked for one.
    pub fn are_asked_for(&self) -> bool {
        !self.read.is_empty() || !self.manage.is_empty()
    }

    /// What the sender of this `Authorization` may do. Without configured tokens everybody may do
    /// everything.
    pub fn role(&self, authorization: Option<&[u8]>) -> Result<Role, Denied> {
        if !self.are_asked_for() {
            return Ok(Role::Manage);
        }
        let token = authorization.and_then(bearer).ok_or(Denied::NoToken)?;
        // All are compared, whichever fits.
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
    /// Refuses what the role does not allow.
    pub fn allows(self, needed: Self) -> Result<(), Denied> {
        if self >= needed { Ok(()) } else { Err(Denied::OnlyToLook) }
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
    fn a_token_has_the_role_of_its_list_and_any_other_none() {
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
    fn who_may_look_may_not_change() {
        assert_eq!(Role::Read.allows(Role::Read), Ok(()));
        assert_eq!(Role::Read.allows(Role::Manage), Err(Denied::OnlyToLook));
        assert_eq!(Role::Manage.allows(Role::Read), Ok(()));
        assert_eq!(Role::Manage.allows(Role::Manage), Ok(()));
    }
}
