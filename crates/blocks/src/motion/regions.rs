//! From changed cells to rectangles.

use super::background::{CELL, Changed};
use crate::Region;

/// The rectangles around connected changed cells, the largest first. Cells that touch at a corner are connected.
pub(super) fn of(changed: &Changed, least_area: f32) -> Vec<Region> {
    let Changed { size, columns, rows: _, cells } = changed;
    let (width, height) = (size.0 as f32, size.1 as f32);
    let edge = |cells: usize, whole: usize| (cells * CELL).min(whole) as f32;
    let mut seen = vec![false; cells.len()];
    let mut regions = Vec::new();
    for start in 0..cells.len() {
        if cells[start] == 0.0 || seen[start] {
            continue;
        }
        let group = connected(changed, start, &mut seen);
        let (xs, ys) = (group.iter().map(|cell| cell % columns), group.iter().map(|cell| cell / columns));
        let (left, right) = (xs.clone().min().unwrap_or(0), xs.max().unwrap_or(0) + 1);
        let (top, bottom) = (ys.clone().min().unwrap_or(0), ys.max().unwrap_or(0) + 1);
        let score = group.iter().map(|cell| cells[*cell]).sum::<f32>() / group.len() as f32;
        regions.push(Region {
            x: edge(left, size.0) / width,
            y: edge(top, size.1) / height,
            w: (edge(right, size.0) - edge(left, size.0)) / width,
            h: (edge(bottom, size.1) - edge(top, size.1)) / height,
            label: String::new(),
            score,
        });
    }
    let area = |region: &Region| region.w * region.h;
    regions.retain(|region| area(region) >= least_area);
    regions.sort_by(|a, b| area(b).total_cmp(&area(a)));
    // A picture with more than that is noise, and their message must fit its slot.
    regions.truncate(32);
    regions
}

fn connected(changed: &Changed, start: usize, seen: &mut [bool]) -> Vec<usize> {
    let (columns, rows) = (changed.columns, changed.rows);
    let mut group = vec![start];
    seen[start] = true;
    let mut next = 0;
    while let Some(cell) = group.get(next).copied() {
        next += 1;
        let (x, y) = (cell % columns, cell / columns);
        for near_y in y.saturating_sub(1)..=(y + 1).min(rows - 1) {
            for near_x in x.saturating_sub(1)..=(x + 1).min(columns - 1) {
                let near = near_y * columns + near_x;
                if changed.cells[near] > 0.0 && !std::mem::replace(&mut seen[near], true) {
                    group.push(near);
                }
            }
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_the_edge_cuts_is_as_large_as_it_is() {
        let cells = vec![0.0, 0.0, 0.0, 1.0];
        let found = of(&Changed { size: (12, 12), columns: 2, rows: 2, cells }, 0.0);
        let place = (found[0].x * 12.0, found[0].y * 12.0, found[0].w * 12.0, found[0].h * 12.0);
        assert_eq!(place, (8.0, 8.0, 4.0, 4.0));
    }

    #[test]
    fn connected_cells_are_one_region_and_small_ones_are_left_out() {
        let picture = ["##......", "#.......", "...#....", "........", "......##", "#.....##"];
        let cells = picture.concat().chars().map(|cell| if cell == '#' { 0.5 } else { 0.0 }).collect();
        let regions = of(&Changed { size: (64, 48), columns: 8, rows: 6, cells }, 2.0 / 48.0);
        let places: Vec<_> =
            regions.iter().map(|region| (region.x * 8.0, region.y * 6.0, region.w * 8.0, region.h * 6.0)).collect();
        assert_eq!(places.len(), 2, "{places:?}");
        assert_eq!(regions[0].score, 0.5);
        assert!(places.iter().any(|(x, y, w, h)| (x.round(), y.round(), w.round(), h.round()) == (0.0, 0.0, 2.0, 2.0)));
        assert!(places.iter().any(|(x, y, w, h)| (x.round(), y.round(), w.round(), h.round()) == (6.0, 4.0, 2.0, 2.0)));
    }
}
