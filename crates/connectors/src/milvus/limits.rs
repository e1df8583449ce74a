//! The limits of a target that its operator can raise, and how it says that one was met.
//! Never decides whether a request is repeated.

/// A limit of the target that its operator can raise.
struct Limit {
    /// `i32::MIN`: it has no code of its own.
    code: i32,
    words: &'static str,
    setting: &'static str,
}

/// The limits whose errors say which one was met; 2.3 has no codes for most. Source: rootcoord's
/// `createDatabaseTask.Prepare`, `createCollectionTask.validate`, `createPartitionTask.Execute`,
/// `checkGeneralCapacity`, `MetaTable.AddCredential` and `CreateRole`.
const LIMITS: [Limit; 6] = [
    Limit {
        code: 801,
        words: "exceeded the limit number of database",
        setting: "rootCoord.maxDatabaseNum",
    },
    Limit {
        code: 102,
        words: "exceeded the limit number of collections",
        setting: "quotaAndLimits.limits.maxCollectionNum, maxCollectionNumPerDB",
    },
    Limit {
        code: i32::MIN,
        words: "exceeds max configuration",
        setting: "rootCoord.maxPartitionNum, rootCoord.dmlChannelNum",
    },
    Limit {
        code: 250,
        words: "general capacity exceeded",
        setting: "rootCoord.maxGeneralCapacity",
    },
    Limit {
        code: i32::MIN,
        words: "number of users has reached the limit",
        setting: "proxy.maxUserNum",
    },
    Limit {
        code: i32::MIN,
        words: "number of roles has reached the limit",
        setting: "proxy.maxRoleNum",
    },
];

/// The settings that raise the limit which an answer with this code and text says was met.
pub(super) fn setting(code: i32, reason: &str) -> Option<&'static str> {
    let reason = reason.to_lowercase();
    let met = |limit: &&Limit| code == limit.code || reason.contains(limit.words);
    LIMITS.iter().find(met).map(|limit| limit.setting)
}
