import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Failure } from './run.js'

const FOLDER = fileURLToPath(new URL('../../.evidence/fuzz/', import.meta.url))

/** Keeps the bytes of a case that failed; gives the words that say what failed, where its bytes are, and how to see it again. */
export const keepEvidence = ({ target, seed, number, what, bytes }: Failure): string => {
  mkdirSync(FOLDER, { recursive: true })
  const name = `${target}-${seed}-${number}`
  writeFileSync(join(FOLDER, name), bytes)
  const shown = Buffer.from(bytes.subarray(0, 200)).toString('hex')
  return `${target}, seed ${seed}, case ${number}: ${what}
bytes (${bytes.length}, all of them in .evidence/fuzz/${name}): ${shown}${bytes.length > 200 ? '…' : ''}
again: scripts/fuzz --target ${target} --seed ${seed} --case ${number}`
}
