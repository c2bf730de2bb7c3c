//! Texts a second through Triton beside the model in this process.

use embed::{Embedder, OnnxModel, Triton, TritonSettings};

use testing::made_up::messages;

use crate::logs::cache;
use crate::print::{ROUNDS, heading, median, time};

const COUNT: usize = 2_000;

pub fn run() {
    heading("texts a second, 2,000 distinct messages of 3 to 15 words, no cache");
    let texts = messages(COUNT);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let here: OnnxModel = embed::fetch_default(&cache(), &|notice| println!("{notice}")).unwrap();
    let triton = Triton::new(TritonSettings::new(testing::triton(), here.model())).unwrap();
    let embed = |embedder: &dyn Embedder| {
        let took = time(|| embedder.embed(&texts, &|_| ()).unwrap());
        COUNT as f64 / took.as_secs_f64()
    };
    embed(&triton);
    embed(&here);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(embed(&triton));
        ours.push(embed(&here));
    }
    let (ours, theirs) = (median(ours.into_iter()), median(theirs.into_iter()));
    println!("  {:<28} {theirs:>9.0}  ({:.2} × in this process)", "Triton (CPU)", theirs / ours);
    println!("  {:<28} {ours:>9.0}", "in this process (rten)");
}
