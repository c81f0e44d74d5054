/** The reporter of vitest that keeps the journal; see `journal.ts`. */
import { appendFileSync } from 'node:fs'
import type { Reporter, TestCase, TestModule } from 'vitest/node'
import { type Entry, JOURNAL_VARIABLE } from './journal.js'

export default class JournalReporter implements Reporter {
  readonly #file = process.env[JOURNAL_VARIABLE] ?? ''
  readonly #told = new Set<string>()

  onTestModuleQueued(module: TestModule): void {
    this.#write({ what: 'file begins', file: module.moduleId, atMs: performance.now() })
  }

  /** Here the file's own time begins, without what it waited for a worker. */
  onTestModuleStart(module: TestModule): void {
    this.onTestModuleQueued(module)
  }

  onTestCaseReady(test: TestCase): void {
    this.#write({ what: 'test begins', file: test.module.moduleId, title: titleOf(test) })
  }

  onTestCaseResult(test: TestCase): void {
    if (this.#told.has(test.id)) return
    this.#told.add(test.id)
    const { state } = test.result()
    this.#write({ what: 'test ends', file: test.module.moduleId, title: titleOf(test), status: state })
  }

  onTestModuleEnd(module: TestModule): void {
    // Tests that never began, as what was to prepare them failed, are not reported one by one.
    for (const test of module.children.allTests()) this.onTestCaseResult(test)
    this.#write({ what: 'file ends', file: module.moduleId, status: module.state(), atMs: performance.now() })
  }

  onTestRunEnd(): void {
    this.#write({ what: 'run ends' })
  }

  #write(entry: Entry): void {
    appendFileSync(this.#file, `${JSON.stringify(entry)}\n`)
  }
}

/** The titles of the groups around a test and its own, joined by blanks, as `scripts/allowed-skips.json` has them. */
const titleOf = (test: TestCase): string => {
  const titles = [test.name]
  for (let group = test.parent; group.type === 'suite'; group = group.parent) titles.unshift(group.name)
  return titles.join(' ')
}
