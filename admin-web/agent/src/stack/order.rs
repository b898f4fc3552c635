//! Whether services can be started at all: a circle of dependences can't.

/// A circle in the dependences, if there is one: indices, each of which depends on the next, and the last on the first.
/// `depends_on[i]` are the indices that `i` depends on.
pub(super) fn find_circle(depends_on: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut visits = vec![Visit::Unseen; depends_on.len()];
    let mut way = Vec::new();
    (0..depends_on.len()).find_map(|start| walk(start, depends_on, &mut visits, &mut way))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Unseen,
    OnTheWay,
    Done,
}

fn walk(
    node: usize,
    depends_on: &[Vec<usize>],
    visits: &mut [Visit],
    way: &mut Vec<usize>,
) -> Option<Vec<usize>> {
    match visits[node] {
        Visit::Done => return None,
        Visit::OnTheWay => {
            let begin = way.iter().position(|on_way| *on_way == node)?;
            return Some(way[begin..].to_vec());
        }
        Visit::Unseen => visits[node] = Visit::OnTheWay,
    }
    way.push(node);
    let circle = depends_on[node]
        .iter()
        .find_map(|next| walk(*next, depends_on, visits, way));
    way.pop();
    visits[node] = Visit::Done;
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_wherever_they_are() {
        let table = [
            (vec![], None),
            (vec![vec![1], vec![2], vec![]], None),
            (vec![vec![1, 2], vec![3], vec![3], vec![]], None),
            (vec![vec![0]], Some(vec![0])),
            (vec![vec![1], vec![2], vec![1]], Some(vec![1, 2])),
            (
                vec![vec![], vec![0, 2], vec![3], vec![1]],
                Some(vec![1, 2, 3]),
            ),
        ];
        for (graph, circle) in table {
            assert_eq!(find_circle(&graph), circle, "{graph:?}");
        }
    }

    /// Against an oracle: there is a circle exactly if taking away what depends on nothing, again and again, leaves something.
    #[test]
    fn small_graphs_agree_with_taking_leaves_away() {
        let nodes = 4;
        for edges in 0_u32..1 << (nodes * nodes) {
            // Every 7th of 65,536 graphs is plenty.
            if edges % 7 != 0 {
                continue;
            }
            let graph: Vec<Vec<usize>> = (0..nodes)
                .map(|from| {
                    (0..nodes)
                        .filter(|to| edges >> (from * nodes + to) & 1 == 1)
                        .collect()
                })
                .collect();
            let mut left: Vec<usize> = (0..nodes).collect();
            loop {
                let stays: Vec<usize> = left
                    .iter()
                    .copied()
                    .filter(|node| graph[*node].iter().any(|next| left.contains(next)))
                    .collect();
                if stays.len() == left.len() {
                    break;
                }
                left = stays;
            }
            let circle = find_circle(&graph);
            assert_eq!(circle.is_some(), !left.is_empty(), "{graph:?}");
            if let Some(circle) = circle {
                for (index, node) in circle.iter().enumerate() {
                    let next = circle[(index + 1) % circle.len()];
                    assert!(graph[*node].contains(&next), "{graph:?} {circle:?}");
                }
            }
        }
    }
}
