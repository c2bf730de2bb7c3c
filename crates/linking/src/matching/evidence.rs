//! Matching by evidence: a ranking of all texts, and a calibrated confidence in the best.
//!
//! The vectors of the sentence model stay as they are. On top of them stand two learned steps, one
//! for messages and one for texts, that bring what a system logs near to what people call it; a
//! model of events, that tells a fault from words about one; and two small sums of evidence, in
//! log-odds, that can be read off: one ranks the texts, the other says how far the best is to be
//! believed. `fit/fit.py` fits all of it and describes it again, in the same order and words.

mod weights;
mod words;

use domain::{Dictionary, Form, Side, TextId, Vector};
use ndarray::{Array1, Array2, ArrayView1, Axis, Slice};

use super::explanation::log_odds;
use super::{Change, Explanation, Message, Piece, Rival, Scored};
use weights::{Step, Weights};

/// What texts are ranked by, in the order of the weights.
const RANKING: [&str; 7] =
    ["cosine", "learned", "paired", "learned-paired", "siblings", "words", "hub"];

/// What the best text is believed by, in the order of the weights.
const BELIEF: [&str; 6] = ["likelihood", "margin", "cosine", "learned", "words", "event"];

/// The margin beyond which it says nothing more.
const MARGIN: f32 = 5.0;

/// What rows of words must weigh to be named in an explanation, in log-odds.
const TELLING: f32 = 0.1;

/// How many words an explanation names.
const NAMED: usize = 5;

/// How many standard deviations a piece may have to move to be named as what would turn a verdict.
const IN_REACH: f32 = 4.0;

/// The texts of both sides, as evidence is weighed for them.
pub(super) struct Evidence {
    weights: &'static Weights,
    sides: [Texts; 2],
}

/// The texts of one side that have a vector, a row each.
struct Texts {
    /// Ascending.
    ids: Vec<TextId>,
    names: Vec<String>,
    vectors: Array2<f32>,
    learned: Array2<f32>,
    /// Places on the other side.
    paired: Vec<Vec<usize>>,
    /// Places on this side.
    siblings: Vec<Vec<usize>>,
    /// Stems, and how telling each is in this dictionary.
    words: Vec<Vec<(String, f32)>>,
    /// The mean cosine to the texts of this side.
    hub: Vec<f32>,
}

/// The text with the most evidence, and the next.
pub(super) struct Weighed {
    /// The text, and the confidence that the message says it.
    pub best: Scored,
    /// The next, with its own confidence.
    pub runner_up: Option<Scored>,
}

/// A message before it is held against texts.
struct Heard<'a> {
    vector: ArrayView1<'a, f32>,
    stems: Vec<String>,
    learned: Array1<f32>,
    /// What the event model makes of it whatever the text: its logit, and its hidden layer.
    event: (f32, Array1<f32>),
}

/// All texts of a side held against a message.
struct Ranked {
    /// By place and [`RANKING`].
    evidence: Array2<f32>,
    /// By place, in log-odds.
    scores: Vec<f32>,
    /// Places, the best first; of equal ones the first in the dictionary.
    order: Vec<usize>,
    /// The logarithm of the sum of all scores' exponentials.
    total: f32,
}

impl Texts {
    fn new(
        dictionary: &Dictionary,
        side: Side,
        weights: &Weights,
        vector: &impl Fn(&str) -> Option<Vector>,
    ) -> Texts {
        let forms = dictionary.texts(side).iter().map(|text| Form::Masked.of(&text.text));
        let known: Vec<(TextId, String, Vector)> = forms
            .enumerate()
            .filter_map(|(index, form)| {
                let vector = vector(&form)?;
                Some((TextId(index as u32), form, vector))
            })
            .collect();
        let width = weights.message.down.nrows();
        let mut vectors = Array2::zeros((known.len(), width));
        let mut learned = Array2::zeros((known.len(), width));
        let mut words = Vec::with_capacity(known.len());
        for (place, (_, form, vector)) in known.iter().enumerate() {
            let vector = ArrayView1::from(&**vector);
            let stems = words::stems(form);
            vectors.row_mut(place).assign(&vector);
            learned.row_mut(place).assign(&weights.learn(&weights.text, vector, &stems));
            words.push(words::words(&stems).into_iter().map(str::to_owned).collect::<Vec<_>>());
        }
        let hub = match vectors.mean_axis(Axis(0)) {
            Some(mean) => vectors.dot(&mean).to_vec(),
            None => Vec::new(),
        };
        Texts {
            names: known.iter().map(|(id, ..)| dictionary.text(side, *id).text.clone()).collect(),
            ids: known.into_iter().map(|(id, ..)| id).collect(),
            vectors,
            learned,
            paired: Vec::new(),
            siblings: Vec::new(),
            words: telling(words),
            hub,
        }
    }

    fn place(&self, text: TextId) -> Option<usize> {
        self.ids.binary_search(&text).ok()
    }

    /// Finds what each text is paired with, and which texts share a partner with it.
    fn pair(&mut self, dictionary: &Dictionary, side: Side, other: &Texts) {
        let partners = |text: TextId, side: Side| {
            dictionary.pairs_of(side, text).map(move |pair| match side {
                Side::Anomaly => pair.problem,
                Side::Problem => pair.anomaly,
            })
        };
        let other_side = Side::BOTH[1 - side as usize];
        for (place, text) in self.ids.iter().enumerate() {
            self.paired.push(partners(*text, side).filter_map(|it| other.place(it)).collect());
            let mut siblings: Vec<usize> = partners(*text, side)
                .flat_map(|partner| partners(partner, other_side))
                .filter_map(|sibling| self.place(sibling))
                .filter(|sibling| *sibling != place)
                .collect();
            siblings.sort_unstable();
            siblings.dedup();
            self.siblings.push(siblings);
        }
    }
}

/// How telling each word is: the logarithm of its inverse frequency among the texts.
fn telling(words: Vec<Vec<String>>) -> Vec<Vec<(String, f32)>> {
    let mut frequency = std::collections::HashMap::<String, usize>::new();
    for word in words.iter().flatten() {
        *frequency.entry(word.clone()).or_default() += 1;
    }
    let texts = words.len() as f32 + 1.0;
    let told = |word: String| {
        let telling = (texts / (frequency[&word] as f32 + 0.5)).ln();
        (word, telling)
    };
    words.into_iter().map(|words| words.into_iter().map(told).collect()).collect()
}

impl Weights {
    /// A vector after its learned step, of length 1.
    fn learn(&self, step: &Step, vector: ArrayView1<f32>, stems: &[String]) -> Array1<f32> {
        let hidden = vector.dot(&step.down).mapv(|it| (4.0 * it).tanh());
        let mut words = Array1::<f32>::zeros(self.word_vectors.ncols());
        let mut number = 0.0;
        for place in words::words(stems).into_iter().filter_map(|word| self.words.get(word)) {
            words += &self.word_vectors.row(*place);
            number += 1.0;
        }
        words /= f32::sqrt(1.0 + number);
        let mut learned = hidden.dot(&step.up) + words.dot(&self.word_up) + vector;
        learned /= (learned.dot(&learned) + 1e-12).sqrt();
        learned
    }

    /// What of the event model is the same for all texts: the logit, and the hidden layer before
    /// it is bent. The inputs are scaled as they were when it was fitted.
    fn hear(
        &self,
        vector: ArrayView1<f32>,
        component: Option<ArrayView1<f32>>,
        stems: &[String],
    ) -> (f32, Array1<f32>) {
        let (event, width) = (&self.event, vector.len());
        let mut logit = event.bias;
        logit += words::rows(stems).iter().map(|(bucket, _)| event.rows[*bucket]).sum::<f32>();
        let mut hidden = event.hidden_bias.clone();
        let parts = [Some(vector), component].into_iter().enumerate();
        for (part, input) in parts.filter_map(|(part, input)| Some((part, input?))) {
            let rows = Slice::from(part * width..(part + 1) * width);
            hidden.scaled_add(8.0, &input.dot(&event.hidden.slice_axis(Axis(0), rows)));
            logit += 8.0 * input.dot(&event.linear.slice_axis(Axis(0), rows));
        }
        (logit, hidden)
    }

    /// The logit of a message, were it taken for a text: above 0 it reads like a fault.
    fn event(&self, heard: &Heard, text: ArrayView1<f32>) -> f32 {
        let (event, width) = (&self.event, text.len());
        let (mut logit, mut hidden) = heard.event.clone();
        let both = &heard.vector * &text;
        for (part, scale, input) in [(2, 60.0, both.view()), (3, 8.0, text)] {
            let rows = Slice::from(part * width..(part + 1) * width);
            hidden.scaled_add(scale, &input.dot(&event.hidden.slice_axis(Axis(0), rows)));
            logit += scale * input.dot(&event.linear.slice_axis(Axis(0), rows));
        }
        logit + hidden.mapv(gelu).dot(&event.out)
    }
}

/// The Gaussian error linear unit, in its approximation by the hyperbolic tangent.
fn gelu(value: f32) -> f32 {
    let inner = (2.0 / std::f32::consts::PI).sqrt() * (value + 0.044_715 * value.powi(3));
    0.5 * value * (1.0 + inner.tanh())
}

fn rounded(probability: f64) -> f32 {
    ((probability * 1e6).round() / 1e6) as f32
}

impl Evidence {
    /// Prepares a dictionary. `vector` gives the unit vector of a masked text.
    pub fn new(dictionary: &Dictionary, vector: &impl Fn(&str) -> Option<Vector>) -> Evidence {
        let weights = Weights::minilm();
        let mut sides = Side::BOTH.map(|side| Texts::new(dictionary, side, weights, vector));
        let [anomalies, problems] = &mut sides;
        anomalies.pair(dictionary, Side::Anomaly, problems);
        problems.pair(dictionary, Side::Problem, anomalies);
        Evidence { weights, sides }
    }

    /// The text with the most evidence.
    pub fn weigh(&self, side: Side, message: Message) -> Option<Weighed> {
        let mut nearest = self.nearest(side, message, 2).into_iter();
        Some(Weighed { best: nearest.next()?, runner_up: nearest.next() })
    }

    /// The texts with the most evidence, at most `count`; none is believed more than one before it.
    pub fn nearest(&self, side: Side, message: Message, count: usize) -> Vec<Scored> {
        let Some(heard) = self.hear(message) else { return Vec::new() };
        let Some(ranked) = self.rank(side, &heard) else { return Vec::new() };
        let mut least = 1.0_f32;
        let nearest = ranked.order.iter().take(count).map(|place| {
            let scored = self.scored(side, &heard, &ranked, *place);
            least = least.min(scored.score);
            Scored { score: least, ..scored }
        });
        nearest.collect()
    }

    /// Why a message is taken for a text, or the nearest, or none, at a threshold of confidence.
    pub fn explain(
        &self,
        side: Side,
        message: Message,
        exact: Option<TextId>,
        threshold: f32,
    ) -> Option<Explanation> {
        let heard = self.hear(message)?;
        let ranked = self.rank(side, &heard)?;
        let texts = &self.sides[side as usize];
        let own = match exact {
            Some(exact) => texts.place(exact)?,
            None => ranked.order[0],
        };
        let values = self.values(side, &heard, &ranked, own);
        let pieces = self.pieces(side, &heard, own, values);
        let rival = ranked.order.iter().copied().find(|place| *place != own);
        let confidence = self.scored(side, &heard, &ranked, own).score;
        Some(Explanation {
            text: texts.names[own].clone(),
            confidence: if exact.is_some() { 1.0 } else { confidence },
            base: self.weights.base,
            runner_up: rival.map(|rival| Rival {
                text: texts.names[rival].clone(),
                confidence: self.scored(side, &heard, &ranked, rival).score.min(confidence),
                pieces: self.between(&ranked, own, rival),
            }),
            change: exact.is_none().then(|| self.change(&pieces, threshold)),
            pieces,
        })
    }

    fn hear<'a>(&self, message: Message<'a>) -> Option<Heard<'a>> {
        let vector = ArrayView1::from(message.vector?);
        let component = message.component.map(ArrayView1::from);
        let stems = words::stems(message.form);
        let learned = self.weights.learn(&self.weights.message, vector, &stems);
        let event = self.weights.hear(vector, component, &stems);
        Some(Heard { vector, stems, learned, event })
    }

    fn rank(&self, side: Side, heard: &Heard) -> Option<Ranked> {
        let (texts, others) = (&self.sides[side as usize], &self.sides[1 - side as usize]);
        if texts.ids.is_empty() {
            return None;
        }
        let held = words::words(&heard.stems);
        let cosine = texts.vectors.dot(&heard.vector);
        let learned = texts.learned.dot(&heard.learned);
        let paired = others.vectors.dot(&heard.vector);
        let learned_paired = others.learned.dot(&heard.learned);
        let mut evidence = Array2::zeros((texts.ids.len(), RANKING.len()));
        for (place, mut row) in evidence.rows_mut().into_iter().enumerate() {
            let mean = |of: &Array1<f32>| {
                let partners = &texts.paired[place];
                let sum: f32 = partners.iter().map(|partner| of[*partner]).sum();
                sum / partners.len().max(1) as f32
            };
            let siblings = texts.siblings[place].iter().map(|sibling| learned[*sibling]);
            let all: f32 = texts.words[place].iter().map(|(_, telling)| telling).sum();
            let shared = texts.words[place]
                .iter()
                .filter(|(word, _)| held.binary_search(&word.as_str()).is_ok())
                .map(|(_, telling)| telling)
                .sum::<f32>();
            row.assign(&ArrayView1::from(&[
                cosine[place],
                learned[place],
                mean(&paired),
                mean(&learned_paired),
                siblings.fold(0.0, f32::max),
                shared / all.max(1e-9),
                texts.hub[place],
            ]));
        }
        let scores = evidence.dot(&ArrayView1::from(&self.weights.ranking)).to_vec();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        let top = scores[order[0]];
        let total = top + scores.iter().map(|score| (score - top).exp()).sum::<f32>().ln();
        Some(Ranked { evidence, scores, order, total })
    }

    /// What a text is believed by, as [`BELIEF`] has it.
    fn values(&self, side: Side, heard: &Heard, ranked: &Ranked, place: usize) -> [f32; 6] {
        let score = ranked.scores[place];
        let rival = ranked.order.iter().find(|other| **other != place);
        let margin = rival.map_or(MARGIN, |rival| (score - ranked.scores[*rival]).min(MARGIN));
        let of = |name| {
            let column = RANKING.iter().position(|known| *known == name);
            ranked.evidence[[place, column.expect("it is ranked by")]]
        };
        let text = self.sides[side as usize].vectors.row(place);
        let event = self.weights.event(heard, text);
        [score - ranked.total, margin, of("cosine"), of("learned"), of("words"), event]
    }

    fn scored(&self, side: Side, heard: &Heard, ranked: &Ranked, place: usize) -> Scored {
        let values = self.values(side, heard, ranked, place);
        let weights = values.iter().zip(&self.weights.belief);
        let sum: f64 = weights
            .map(|(value, belief)| f64::from(belief.slope) * f64::from(value - belief.mean))
            .sum();
        let log_odds = f64::from(self.weights.base) + sum;
        let text = self.sides[side as usize].ids[place];
        Scored { text, score: rounded(1.0 / (1.0 + (-log_odds).exp())) }
    }

    fn pieces(&self, side: Side, heard: &Heard, place: usize, values: [f32; 6]) -> Vec<Piece> {
        let belief = BELIEF.iter().zip(values).zip(&self.weights.belief);
        belief
            .map(|((name, value), belief)| {
                let weight = belief.slope * (value - belief.mean);
                let words = match *name {
                    "words" => self.shared(side, heard, place),
                    "event" => self.told_by(heard, weight),
                    _ => Vec::new(),
                };
                Piece { evidence: (*name).to_owned(), value, weight, words }
            })
            .collect()
    }

    /// The words that a message and a text share, the most telling first.
    fn shared(&self, side: Side, heard: &Heard, place: usize) -> Vec<String> {
        let held = words::words(&heard.stems);
        let mut shared: Vec<&(String, f32)> = self.sides[side as usize].words[place]
            .iter()
            .filter(|(word, _)| held.binary_search(&word.as_str()).is_ok())
            .collect();
        shared.sort_by(|one, other| other.1.total_cmp(&one.1));
        shared.into_iter().take(NAMED).map(|(word, _)| word.clone()).collect()
    }

    /// The words in a row by which a message reads like a fault, or like none: those that pull as
    /// the whole does.
    fn told_by(&self, heard: &Heard, direction: f32) -> Vec<String> {
        let weighs = |bucket: usize| self.weights.event.rows[bucket] * direction.signum();
        let mut rows = words::rows(&heard.stems);
        rows.retain(|(bucket, _)| weighs(*bucket) > TELLING);
        rows.sort_by(|one, other| weighs(other.0).total_cmp(&weighs(one.0)));
        rows.into_iter().take(NAMED).map(|(_, range)| heard.stems[range].join(" ")).collect()
    }

    /// What decides between two texts, the heaviest first.
    fn between(&self, ranked: &Ranked, own: usize, rival: usize) -> Vec<Piece> {
        let rows = ranked.evidence.row(own).to_vec().into_iter().zip(ranked.evidence.row(rival));
        let weighed = RANKING.iter().zip(rows).zip(&self.weights.ranking);
        let mut pieces: Vec<Piece> = weighed
            .map(|((name, (own, rival)), weight)| Piece {
                evidence: (*name).to_owned(),
                value: own - rival,
                weight: weight * (own - rival),
                words: Vec::new(),
            })
            .filter(|piece| piece.weight != 0.0)
            .collect();
        pieces.sort_by(|one, other| other.weight.abs().total_cmp(&one.weight.abs()));
        pieces
    }

    /// The piece that would turn the verdict alone, and has to move least for it, by its usual
    /// spread.
    fn change(&self, pieces: &[Piece], threshold: f32) -> Change {
        let weights: f32 = pieces.iter().map(|piece| piece.weight).sum();
        let to_spare = self.weights.base + weights - log_odds(threshold);
        let moves = pieces.iter().zip(&self.weights.belief).map(|(piece, belief)| {
            let by = -to_spare / belief.slope;
            (piece, piece.value + by, (by / belief.spread).abs())
        });
        let possible = |name: &str, to: f32| match name {
            "likelihood" => to <= 0.0,
            "margin" => (0.0..=MARGIN).contains(&to),
            "cosine" | "learned" => (-1.0..=1.0).contains(&to),
            "words" => (0.0..=1.0).contains(&to),
            _ => true,
        };
        let turning = moves
            .filter(|(piece, to, far)| *far <= IN_REACH && possible(&piece.evidence, *to))
            .min_by(|one, other| one.2.total_cmp(&other.2));
        Change {
            threshold,
            log_odds: to_spare,
            evidence: turning.map(|(piece, ..)| piece.evidence.clone()),
            from: turning.map_or(0.0, |(piece, ..)| piece.value),
            to: turning.map_or(0.0, |(_, to, _)| to),
        }
    }
}
