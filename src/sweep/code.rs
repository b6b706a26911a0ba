//! Which version of the code trials run: `[run] code`.

/// Which version of the code trials run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Code {
    /// The working directory as it is; what is uncommitted is kept as a patch.
    #[default]
    Snapshot,
    /// A clean clone of the commit, in the study's folder.
    Clone,
    /// The working directory, which must not differ from the commit.
    Clean,
}

impl Code {
    /// Every one, by its name in sweep files.
    pub const ALL: &[(&str, Self)] = &[
        ("snapshot", Self::Snapshot),
        ("clone", Self::Clone),
        ("clean", Self::Clean),
    ];

    /// Returns its name in sweep files.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, code)| *code == self)
            .map_or("snapshot", |(name, _)| name)
    }
}
