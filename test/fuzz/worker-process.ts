/** One process of `scripts/fuzz`: it runs the pieces that it is sent. */
import type { Piece } from './main.js'
import { runCases } from './run.js'
import { TARGETS } from './targets.js'

process.on('message', (piece: Piece) => {
  const target = TARGETS.find(({ name }) => name === piece.target)
  if (target === undefined) throw new Error(`There is no target ${piece.target}`)
  process.send?.(runCases(target, piece))
})
