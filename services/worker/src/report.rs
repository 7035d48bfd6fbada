//! The end of a job: what was chosen is measured on the test split beside the baselines, and the
//! model's files are written.

use std::collections::BTreeMap;

use dataset::Dataset;
use domain::Part;
use model::metrics::RankingMetrics;
use model::{Artifact, new_manifest, save_backbone};

use crate::choose::{Chosen, Partner};
use crate::corpus::{Corpus, TestSplit};
use crate::evaluate::{Holdout, Ranker};
use crate::input::{Input, Trained, new_folder};
use crate::progress::Progress;
use crate::run::Run;
use crate::{Error, baselines};

/// So few cold items are all among the first of their ranking: nothing to measure.
const FEW: usize = 40;

impl Run {
    /// Measures on the test split and writes the model's files.
    pub(crate) fn finish(
        mut self,
        input: &Input,
        dataset: &Dataset,
        (corpus, test): (&Corpus, &TestSplit),
        progress: &mut Progress,
    ) -> Result<Trained, Error> {
        progress.enters("evaluation");
        let chosen = Chosen::new(&mut self, &input.spec, corpus, progress)?;
        progress.begins(Part::Test);
        let test = Holdout::test(corpus, test);
        let mut metrics = chosen.metrics.clone();
        let served = self.measure(&chosen, test, &mut metrics, progress)?;
        let simpler = baselines::measure(
            input.spec.evaluation.baselines,
            self.ease.as_ref(),
            test,
            progress,
        )?;
        metrics.extend(baselines::lifts(&served, &simpler));
        metrics.extend(simpler);
        progress.begins(Part::Saving);
        let trained = self.write(input, (dataset, corpus), chosen, metrics);
        progress.begins(Part::Saving); // what it took is noted
        trained
    }

    /// Metrics of what will be served, under their plain names, of the language model alone under
    /// `llm_…`, and of the language model as if nobody had a row under `new_user_…`.
    fn measure(
        &self,
        chosen: &Chosen,
        test: Holdout<'_>,
        metrics: &mut BTreeMap<String, f64>,
        progress: &Progress,
    ) -> Result<RankingMetrics, Error> {
        let alone = chosen.ranker(self, None).evaluate(test, progress)?;
        let served = match &chosen.partner {
            Some(Partner { weights, weight }) => {
                let mixes = chosen.ranker(self, Some(weights)).evaluate_mixes(
                    &[*weight],
                    test,
                    progress,
                )?;
                mixes.into_iter().next().unwrap_or_default()
            }
            None => alone,
        };
        let stranger = if chosen.new_user == chosen.known_user {
            alone
        } else {
            Ranker {
                user_token: chosen.new_user,
                ..chosen.ranker(self, None)
            }
            .evaluate(test, progress)?
        };
        metrics.extend(stranger.named("new_user_"));
        // Items that nobody has interacted with, ranked among themselves: among all items the
        // others win.
        let cold = test.corpus.cold_items();
        let cold_truth = test.truth_among(&cold);
        if cold.len() > FEW && cold_truth.iter().any(|truth| !truth.is_empty()) {
            let cold = test.among(&cold_truth, &cold);
            metrics.extend(
                chosen
                    .ranker(self, None)
                    .evaluate(cold, progress)?
                    .named("cold_"),
            );
            metrics.extend(baselines::popularity(cold).named("cold_popularity_"));
        }
        metrics.extend(served.named("").into_iter().chain(alone.named("llm_")));
        metrics.extend(
            chosen
                .tried_weight
                .map(|weight| ("hybrid_weight".to_owned(), weight)),
        );
        Ok(served)
    }

    fn write(
        &self,
        input: &Input,
        (dataset, corpus): (&Dataset, &Corpus),
        chosen: Chosen,
        metrics: BTreeMap<String, f64>,
    ) -> Result<Trained, Error> {
        let Chosen {
            tables,
            known_user,
            new_user,
            partner,
            ..
        } = chosen;
        let backbone = new_folder(&input.scratch, "backbone")?;
        save_backbone(&backbone, &self.config, &self.learned.gpt2)?;
        let backbone_id = storage::content_id(&backbone)?;
        let catalog = dataset.manifest.catalog.clone();
        let mut manifest = new_manifest(catalog, input.spec.clone(), backbone_id, &tables);
        manifest.metrics = metrics.clone();
        (manifest.known_user, manifest.new_user) = (known_user, new_user);
        manifest.light_weight = partner.as_ref().map_or(0.0, |partner| partner.weight);
        let model = new_folder(&input.scratch, "model")?;
        let light = partner.map(|partner| partner.weights);
        let (users, items) = (dataset.users.clone(), dataset.items.clone());
        let popularity = Some(corpus.popularity());
        Artifact {
            manifest,
            tables,
            light,
            popularity,
            users,
            items,
        }
        .write(&model)?;
        Ok(Trained {
            model,
            backbone,
            metrics,
        })
    }
}
