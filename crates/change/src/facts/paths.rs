//! Paths: which kind of thing is each file?
//!
//! Rules from `paths.yaml` of the governance, then those that come with the product; the first that matches counts. The server applies them, so that
//! whoever proposes can't choose them. A file that no rule knows is code: it runs. What the answer means for a change is in [`seen`](super::seen).

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::material::{FileChange, Form, Material, count};
use crate::proposal::Kind;

/// `paths.yaml`: which kind of thing each file of a repository is. The first rule that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathFile {
    #[serde(default)]
    pub rules: Vec<PathRule>,
    /// Whether the rules that come with the product follow these; without them, a file that no rule matches is code.
    #[serde(default)]
    pub defaults: Defaults,
}

/// Whether the rules of the product apply after one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Defaults {
    #[default]
    Follow,
    None,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathRule {
    /// Patterns of paths from the root of the repository: `*` stays within a folder, `**` does not, `{a,b}` is either.
    #[schemars(length(min = 1, max = 200))]
    pub paths: Vec<String>,
    /// What sort of thing these files are.
    pub kind: Kind,
    /// What else is known of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub marks: BTreeSet<PathMark>,
}

/// What is known of a file beside its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathMark {
    /// It tests: it does not run in production, and its kind is not counted.
    Test,
    /// A program writes it.
    Generated,
    /// It comes from others.
    Vendored,
}

/// The rules that come with the product. Kinds that need care come before documents, so that a folder named `docs` hides nothing.
const DEFAULTS: &[(Kind, &[PathMark], &[&str])] = &[
    (
        Kind::Governance,
        &[],
        &["{,**/}CODEOWNERS", "**/*.rego", "governance/**", "{,**/}{access,approvals,calendar,paths}.yaml"],
    ),
    (
        Kind::Pipeline,
        &[],
        &[
            ".github/{workflows,actions}/**",
            ".gitlab-ci.yml",
            ".gitlab/ci/**",
            ".circleci/**",
            ".buildkite/**",
            ".tekton/**",
            "{,**/}Jenkinsfile*",
            "azure-pipelines*.{yml,yaml}",
            "{,**/}.drone.yml",
            "bitbucket-pipelines.yml",
            "{,**/}Makefile",
            "{,**/}justfile",
        ],
    ),
    (Kind::Code, &[PathMark::Vendored], &["{,**/}{vendor,third_party,node_modules}/**"]),
    (
        Kind::Secret,
        &[],
        &[
            "{,**/}.env",
            "{,**/}.env.*",
            "**/*.{pem,key,p12,pfx,jks,keystore,age,gpg}",
            "{,**/}secrets/**",
            "{,**/}*secret*.{yml,yaml,json,enc}",
            "{,**/}.sops.yaml",
        ],
    ),
    (
        Kind::Access,
        &[],
        &[
            "{,**/}{iam,rbac}/**",
            "{,**/}*{iam,rbac}*.{tf,tf.json,yml,yaml,json}",
            "{,**/}*role*binding*.{yml,yaml}",
            "{,**/}*polic*.{tf,json}",
        ],
    ),
    (
        Kind::Data,
        &[],
        &[
            "{,**/}{migrations,migration,migrate}/**",
            "{,**/}db/{migrate,changelog}/**",
            "{,**/}alembic/**",
            "{,**/}flyway/**",
            "{,**/}schema.{sql,rb,prisma}",
            "**/*.sql",
        ],
    ),
    (
        Kind::Network,
        &[],
        &[
            "{,**/}*{network,firewall,security-group,security_group,ingress,route,vpc,dns}*.{tf,tf.json,yml,yaml}",
            "{,**/}{haproxy,nginx,envoy}/**",
            "**/*.vcl",
            "{,**/}haproxy*.cfg",
            "{,**/}nginx*.conf",
        ],
    ),
    (Kind::Platform, &[], &["{,**/}{crds,crd,operators,cluster,clusters}/**"]),
    (
        Kind::Infrastructure,
        &[],
        &[
            "**/*.{tf,tofu,tfvars,hcl}",
            "**/*.{tf,tofu,tfvars}.json",
            "{,**/}{terraform,tofu,pulumi,cloudformation,cdk,ansible}/**",
            "{,**/}Pulumi*.yaml",
        ],
    ),
    (
        Kind::Code,
        &[PathMark::Test],
        &[
            "{,**/}{test,tests,__tests__,spec,testdata,e2e}/**",
            "**/*_test.{go,py,rs,exs,dart}",
            "**/*.{test,spec}.{js,jsx,ts,tsx,mjs}",
            "**/*{Test,Tests,Spec,IT}.{java,kt,scala,cs,groovy}",
            "{,**/}test_*.py",
            "{,**/}conftest.py",
            "**/*_spec.rb",
        ],
    ),
    (
        Kind::Code,
        &[PathMark::Generated],
        &["{,**/}generated/**", "**/*.{pb.go,pb.cc,pb.h,g.dart,generated.ts,snap}", "**/*_pb2*.py"],
    ),
    (
        Kind::Code,
        &[PathMark::Generated],
        &[
            "{,**/}{Cargo.lock,package-lock.json,yarn.lock,pnpm-lock.yaml,go.sum,poetry.lock,uv.lock,Gemfile.lock,composer.lock,mix.lock}",
        ],
    ),
    (Kind::Flag, &[], &["{,**/}{flags,feature-flags,feature_flags}/**", "{,**/}*{flags,flagd}*.{yml,yaml,json}"]),
    (
        Kind::Config,
        &[],
        &[
            "{,**/}{k8s,kubernetes,manifests,helm,charts,kustomize,deploy}/**",
            "{,**/}{Dockerfile,Containerfile}*",
            "{,**/}{docker-,}compose*.{yml,yaml}",
            "{,**/}{config,conf,settings}/**/*.{yml,yaml,json,toml,ini,conf,properties,env}",
            "{,**/}application*.{yml,yaml,properties}",
        ],
    ),
    (
        Kind::Docs,
        &[],
        &[
            "**/*.{md,mdx,rst,adoc,asciidoc}",
            "{,**/}{README,CHANGELOG,CONTRIBUTING,AUTHORS,NOTICE,COPYING,LICENSE,LICENCE,LICENSE-MIT,LICENSE-APACHE}",
            "{,**/}{README,CHANGELOG,CONTRIBUTING,AUTHORS,NOTICE,COPYING,LICENSE}.txt",
            "{docs,doc,site}/**/*.{txt,png,jpg,jpeg,gif,svg,webp,pdf,drawio,puml,mmd,css}",
        ],
    ),
    (
        Kind::Config,
        &[],
        &[
            "**/*.{yml,yaml,toml,ini,properties,conf,cfg}",
            "{,**/}.*rc",
            "{,**/}.{gitignore,gitattributes,editorconfig,dockerignore}",
        ],
    ),
];

/// Compiled rules, in their order.
#[derive(Clone, Debug)]
pub struct Paths {
    rules: Vec<Compiled>,
}

#[derive(Clone, Debug)]
struct Compiled {
    matchers: Vec<GlobMatcher>,
    sort: Sort,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    pub kind: Kind,
    pub marks: BTreeSet<PathMark>,
}

/// Equal if they say the same.
impl PartialEq for Paths {
    fn eq(&self, other: &Self) -> bool {
        let said = |paths: &Self| -> Vec<(Vec<String>, Sort)> {
            let globs = |rule: &Compiled| rule.matchers.iter().map(|m| m.glob().glob().to_owned()).collect();
            paths.rules.iter().map(|rule| (globs(rule), rule.sort.clone())).collect()
        };
        said(self) == said(other)
    }
}

impl Default for Paths {
    /// The rules that come with the product.
    fn default() -> Self {
        // INVARIANT: a test compiles them; a pattern that could not be compiled would match nothing, and its files be code.
        Self::compile(&PathFile::default()).unwrap_or(Self { rules: vec![] })
    }
}

impl Paths {
    /// Compiles the rules of a file, and those of the product after them if the file leaves them.
    ///
    /// # Errors
    /// Each pattern that can't be read, by its JSON pointer in the file, with what is wrong.
    pub fn compile(file: &PathFile) -> Result<Self, Vec<(String, String)>> {
        let defaults: Vec<PathRule> = match file.defaults {
            Defaults::Follow => DEFAULTS.iter().map(rule).collect(),
            Defaults::None => vec![],
        };
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for (i, rule) in file.rules.iter().chain(&defaults).enumerate() {
            let mut matchers = Vec::new();
            for (j, path) in rule.paths.iter().enumerate() {
                match matcher(path) {
                    Ok(matcher) => matchers.push(matcher),
                    Err(why) => problems
                        .push((format!("/rules/{i}/paths/{j}"), format!("`{path}` is no pattern of paths: {why}"))),
                }
            }
            rules.push(Compiled { matchers, sort: Sort { kind: rule.kind, marks: rule.marks.clone() } });
        }
        if problems.is_empty() { Ok(Self { rules }) } else { Err(problems) }
    }

    /// What a file of this path is.
    pub fn sort_of(&self, path: &str) -> Sort {
        let found = self.rules.iter().find(|rule| rule.matchers.iter().any(|m| m.is_match(path)));
        found.map_or(Sort { kind: Kind::Code, marks: BTreeSet::new() }, |rule| rule.sort.clone())
    }

    /// What is said of a change of a file: that of both of its places where it moves, the heavier one first. What can run or lead elsewhere (a link,
    /// a submodule, an executable) is code at least, whatever it is called.
    fn sort_of_change(&self, file: &FileChange) -> Sort {
        let mut sort = self.sort_of(&file.path);
        if let Some(was) = &file.was {
            let before = self.sort_of(was);
            sort.marks = sort.marks.intersection(&before.marks).copied().collect();
            sort.kind = heavier(sort.kind, before.kind);
        }
        let runs = matches!(file.form, Form::Symlink | Form::Submodule)
            || file.mode.as_deref().is_some_and(|m| m.ends_with("755"));
        if runs {
            sort.kind = heavier(sort.kind, Kind::Code);
            sort.marks.remove(&PathMark::Test);
        }
        sort
    }

    /// Counts the files of a range by kind and mark, and puts the heaviest first.
    fn tally(&self, material: &mut Material) -> Option<Tally> {
        let range = material.range.as_mut()?;
        let mut tally =
            Tally { unlisted: range.files.total.saturating_sub(count(range.files.list.len())), ..Tally::default() };
        for file in &range.files.list {
            tally.add(file, &self.sort_of_change(file));
        }
        range.files.list.sort_by_cached_key(|file| {
            let sort = self.sort_of_change(file);
            (std::cmp::Reverse((sort.marks.is_empty(), weight(sort.kind))), file.path.clone())
        });
        Some(tally)
    }

    /// What a server keeps of a material that was sent: sorted by these rules, with their tally, and cut to its share of an entry.
    #[must_use]
    pub fn receive(&self, mut material: Material) -> Material {
        material.tally = self.tally(&mut material);
        material.fitted()
    }

    /// What these rules say of a material that is kept. Where its list was cut, what was said of the whole list at the proposal is added.
    pub fn tally_of(&self, material: &Material) -> Option<Tally> {
        let fresh = self.tally(&mut material.clone())?;
        let is_whole = material.range.as_ref().is_some_and(|range| range.files.is_whole());
        Some(match &material.tally {
            Some(first) if !is_whole => first.clone().with_more(&fresh),
            _ => fresh,
        })
    }
}

fn rule((kind, marks, paths): &(Kind, &[PathMark], &[&str])) -> PathRule {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    PathRule { paths, kind: *kind, marks: marks.iter().copied().collect() }
}

fn matcher(path: &str) -> Result<GlobMatcher, String> {
    if path.len() > 300 {
        return Err("it has more than 300 characters".into());
    }
    let built = GlobBuilder::new(path).literal_separator(true).empty_alternates(true).case_insensitive(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

/// What the rules say of a list of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Files of each kind; those that only test are left out.
    pub kinds: BTreeMap<Kind, u32>,
    /// Files with each mark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<PathMark, u32>,
    /// One path of each kind, to look at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub examples: BTreeMap<Kind, String>,
    pub binary: u32,
    pub symlinks: u32,
    pub submodules: u32,
    /// Files whose mode changes.
    pub modes: u32,
    /// Files that were not sent, because there were too many: nobody knows their kinds.
    pub unlisted: u32,
}

impl Tally {
    fn add(&mut self, file: &FileChange, sort: &Sort) {
        for mark in &sort.marks {
            *self.marks.entry(*mark).or_default() += 1;
        }
        if !sort.marks.contains(&PathMark::Test) {
            *self.kinds.entry(sort.kind).or_default() += 1;
            self.examples.entry(sort.kind).or_insert_with(|| super::material::shortened(&file.path));
        }
        self.binary += u32::from(file.form == Form::Binary);
        self.symlinks += u32::from(file.form == Form::Symlink);
        self.submodules += u32::from(file.form == Form::Submodule);
        self.modes += u32::from(file.mode.is_some());
    }

    /// Kinds that another tally found and this one did not.
    fn with_more(mut self, other: &Self) -> Self {
        for (kind, files) in &other.kinds {
            self.kinds.entry(*kind).or_insert(*files);
        }
        for (kind, example) in &other.examples {
            self.examples.entry(*kind).or_insert_with(|| example.clone());
        }
        self
    }
}

/// How much a change of each kind can break, lightest first, as the default policy has it: a mistake with access and secrets disarms other controls.
pub fn weight(kind: Kind) -> u8 {
    match kind {
        Kind::Docs => 0,
        Kind::Flag => 1,
        Kind::Config => 2,
        Kind::Code => 3,
        Kind::Pipeline => 4,
        Kind::Platform => 5,
        Kind::Network => 6,
        Kind::Infrastructure => 7,
        Kind::Data => 8,
        Kind::Governance => 9,
        Kind::Secret => 10,
        Kind::Access => 11,
    }
}

/// The heavier of two kinds.
pub fn heavier(a: Kind, b: Kind) -> Kind {
    if weight(b) > weight(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::facts::material::{How, Listed, Origin, Range};

    fn file(path: &str) -> FileChange {
        FileChange {
            path: path.into(),
            was: None,
            how: How::Modified,
            form: Form::Text,
            added: 1,
            removed: 0,
            mode: None,
        }
    }

    fn material(files: Vec<FileChange>) -> Material {
        let from = Origin { tool: "git".into(), name: "a..b".into(), digest: None };
        let id = "0".repeat(40);
        let range = Range {
            from,
            base: id.clone(),
            head: id.clone(),
            merge_base: id,
            added: 0,
            removed: 0,
            files: Listed::of(files),
            commits: Listed::default(),
            people: Listed::default(),
            unsigned: 0,
        };
        Material { range: Some(range), ..Material::default() }
    }

    #[test]
    fn common_layouts_are_sorted_without_a_rule_of_ones_own() {
        let lines: Vec<String> = [
            "README.md",
            "docs/guide/start.md",
            "docs/conf.py",
            "docs/deploy/main.tf",
            "src/main.rs",
            "cmd/server/main.go",
            "cmd/server/main_test.go",
            "web/src/cart.spec.ts",
            "src/test/java/CartTest.java",
            "db/migrate/20260101_add.rb",
            "migrations/0042_drop.sql",
            "infra/main.tf",
            "infra/iam.tf",
            "infra/network.tf",
            "k8s/deployment.yaml",
            "k8s/rbac/admin.yaml",
            "k8s/network-policy.yaml",
            "crds/widget.yaml",
            ".github/workflows/build.yml",
            "Jenkinsfile",
            ".github/CODEOWNERS",
            "CODEOWNERS",
            "policy/deny.rego",
            ".env.production",
            "tls/server.KEY",
            "flags/checkout.yaml",
            "config/production/app.yaml",
            "Cargo.lock",
            "vendor/github.com/x/y.go",
            "api/v1/cart.pb.go",
            "LICENSE",
            "unknown.xyz",
        ]
        .iter()
        .map(|path| {
            let sort = Paths::default().sort_of(path);
            let marks: Vec<String> = sort.marks.iter().map(|m| format!(" {m:?}").to_lowercase()).collect();
            format!("{path}: {}{}", sort.kind, marks.concat())
        })
        .collect();
        expect![[r#"
            README.md: docs
            docs/guide/start.md: docs
            docs/conf.py: code
            docs/deploy/main.tf: infrastructure
            src/main.rs: code
            cmd/server/main.go: code
            cmd/server/main_test.go: code test
            web/src/cart.spec.ts: code test
            src/test/java/CartTest.java: code test
            db/migrate/20260101_add.rb: data
            migrations/0042_drop.sql: data
            infra/main.tf: infrastructure
            infra/iam.tf: access
            infra/network.tf: network
            k8s/deployment.yaml: config
            k8s/rbac/admin.yaml: access
            k8s/network-policy.yaml: network
            crds/widget.yaml: platform
            .github/workflows/build.yml: pipeline
            Jenkinsfile: pipeline
            .github/CODEOWNERS: governance
            CODEOWNERS: governance
            policy/deny.rego: governance
            .env.production: secret
            tls/server.KEY: secret
            flags/checkout.yaml: flag
            config/production/app.yaml: config
            Cargo.lock: code generated
            vendor/github.com/x/y.go: code vendored
            api/v1/cart.pb.go: code generated
            LICENSE: docs
            unknown.xyz: code"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn ones_own_rule_counts_before_those_of_the_product() {
        let own = PathRule { paths: vec!["src/keys/**".into()], kind: Kind::Access, marks: BTreeSet::new() };
        let sort = |defaults| {
            let paths = Paths::compile(&PathFile { rules: vec![own.clone()], defaults }).expect("patterns");
            (paths.sort_of("src/keys/a.md").kind, paths.sort_of("a.md").kind)
        };
        assert_eq!(sort(Defaults::Follow), (Kind::Access, Kind::Docs));
        assert_eq!(sort(Defaults::None), (Kind::Access, Kind::Code), "what no rule knows is code");
    }

    #[test]
    fn a_pattern_that_is_none_is_named_with_its_place() {
        let rule =
            |path: &str| PathRule { paths: vec!["ok".into(), path.into()], kind: Kind::Docs, marks: BTreeSet::new() };
        let file = PathFile { rules: vec![rule("a{b"), rule(&"x".repeat(400))], defaults: Defaults::Follow };
        let problems = Paths::compile(&file).expect_err("two bad patterns");
        assert_eq!(problems.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["/rules/0/paths/1", "/rules/1/paths/1"]);
        assert!(problems[0].1.starts_with("`a{b` is no pattern of paths: "), "{problems:?}");
    }

    #[test]
    fn a_file_that_moves_is_of_the_heavier_of_both_kinds_and_a_link_is_never_a_document() {
        let moved = FileChange { was: Some("infra/iam.tf".into()), ..file("notes.md") };
        let link = FileChange { form: Form::Symlink, ..file("more.md") };
        let script = FileChange { mode: Some("100644 100755".into()), ..file("tests/run.md") };
        let tally = Paths::default().tally_of(&material(vec![moved, link, script, file("a.md")])).expect("a range");
        let kinds: Vec<_> = tally.kinds.into_iter().collect();
        assert_eq!(kinds, [(Kind::Code, 2), (Kind::Access, 1), (Kind::Docs, 1)]);
        assert_eq!((tally.symlinks, tally.modes), (1, 1));
    }

    #[test]
    fn a_heavy_file_at_the_end_of_a_long_list_is_kept_and_counted() {
        let mut files: Vec<FileChange> = (0..2_000).map(|i| file(&format!("docs/{i}.md"))).collect();
        files.push(file("zz/iam.tf"));
        let kept = Paths::default().receive(material(files));
        let range = kept.range.as_ref().expect("a range");
        assert_eq!((range.files.list[0].path.as_str(), range.files.total), ("zz/iam.tf", 2_001));
        let tally = Paths::default().tally_of(&kept).expect("a range");
        assert_eq!((tally.kinds[&Kind::Docs], tally.kinds[&Kind::Access]), (2_000, 1));
        let stricter = PathRule { paths: vec!["docs/**".into()], kind: Kind::Governance, marks: BTreeSet::new() };
        let later = Paths::compile(&PathFile { rules: vec![stricter], defaults: Defaults::Follow }).expect("patterns");
        assert!(later.tally_of(&kept).expect("a range").kinds.contains_key(&Kind::Governance), "later rules count too");
    }

    #[test]
    fn files_that_were_not_sent_are_counted_as_unknown() {
        let mut sent = material(vec![file("a.md")]);
        if let Some(range) = &mut sent.range {
            range.files.total = 9;
        }
        assert_eq!(Paths::default().tally_of(&sent).map(|t| t.unlisted), Some(8));
    }
}
