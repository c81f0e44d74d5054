/** A run of vitest whose report is there also when vitest does not come to its end. */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CommandOptions, type Outcome, runCommand } from './command.js'
import { JOURNAL_VARIABLE, readJournal } from './journal.js'
import { countTests, type TestCounts } from './vitest-report.js'

const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const REPORTER = fileURLToPath(new URL('journal-reporter.ts', import.meta.url))

/** What was run, counted, and what is to be said about how it ended. */
export interface VitestRun {
  readonly ok: boolean
  /** Of what ended, whether or not vitest did. */
  readonly counts: TestCounts
  /** Why the run as a whole failed, beside tests that did; empty if there is no such reason. */
  readonly complaints: readonly string[]
}

/**
 * @param args paths, and vitest's own options
 * @param evidence a folder for the log and the journal
 */
export const runVitest = async (
  args: readonly string[],
  evidence: string,
  options: Omit<CommandOptions, 'logFile' | 'progress'>,
): Promise<VitestRun> => {
  const journal = join(evidence, 'tests.jsonl')
  rmSync(journal, { force: true })
  const outcome = await runCommand(
    process.execPath,
    [VITEST, 'run', '--reporter=default', `--reporter=${REPORTER}`, ...args],
    {
      ...options,
      logFile: join(evidence, 'vitest.log'),
      progress: () => statSync(journal, { throwIfNoEntry: false })?.size ?? 0,
      env: { ...options.env, [JOURNAL_VARIABLE]: journal },
    },
  )
  return judged(outcome, existsSync(journal) ? readFileSync(journal, 'utf8') : '', options.root)
}

const judged = (outcome: Outcome, journal: string, root: string): VitestRun => {
  const { report, isWhole, underWay } = readJournal(journal)
  const counts = countTests(report, root)
  const complaints: string[] = []
  if (outcome.givenUp !== undefined) complaints.push(`vitest was ended: ${outcome.givenUp}`)
  else if (!isWhole) complaints.push('vitest ended before all tests had')
  else if (!outcome.ok && counts.failed === 0) complaints.push('vitest: an error outside of any test')
  for (const { file, titles } of isWhole ? [] : underWay) {
    const name = relative(root, file)
    if (titles.length === 0) complaints.push(`had not ended: ${name}`)
    for (const title of titles) complaints.push(`was under way: ${name}: ${title}`)
  }
  return { ok: outcome.ok && counts.failed === 0, counts, complaints }
}
