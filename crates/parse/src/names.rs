//! The names of files as shown to people: the shortest end of each path that tells it from all
//! others, so that they do not depend on the order of the files.

use std::collections::HashMap;

/// Shortens paths, given as their components. Paths that are equal in every component are told
/// apart by a number behind the name.
pub fn shorten(paths: &[Vec<String>]) -> Vec<String> {
    let mut depth = vec![1; paths.len()];
    loop {
        let names: Vec<String> =
            paths.iter().zip(&depth).map(|(path, depth)| tail(path, *depth)).collect();
        let mut holders: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            holders.entry(name).or_default().push(index);
        }
        let mut grew = false;
        for index in holders.into_values().filter(|holders| holders.len() > 1).flatten() {
            if depth[index] < paths[index].len() {
                depth[index] += 1;
                grew = true;
            }
        }
        if !grew {
            return number(names);
        }
    }
}

fn tail(path: &[String], depth: usize) -> String {
    path[path.len().saturating_sub(depth)..].join("/")
}

fn number(names: Vec<String>) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    names
        .into_iter()
        .map(|name| {
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count == 1 { name } else { format!("{name} ({count})") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Vec<String> {
        let split = |path: &&str| path.split('/').map(str::to_owned).collect();
        shorten(&paths.iter().map(split).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_of_its_own_stands_alone() {
        assert_eq!(names(&["/var/log/a.log", "/var/log/b.log"]), ["a.log", "b.log"]);
    }

    #[test]
    fn files_of_one_name_show_as_much_of_their_path_as_tells_them_apart() {
        assert_eq!(
            names(&["x/db1/log/a.log", "x/db2/log/a.log", "x/b.log"]),
            ["db1/log/a.log", "db2/log/a.log", "b.log"]
        );
        assert_eq!(names(&["a.log", "x/a.log"]), ["a.log", "x/a.log"]);
    }

    #[test]
    fn equal_paths_are_numbered() {
        assert_eq!(names(&["z.zip/a.log", "z.zip/a.log"]), ["z.zip/a.log", "z.zip/a.log (2)"]);
    }
}
