import { failed, ok, type Verdict } from './verdict.js'

/** The changelog tells of the version that is to be published, and keeps nothing back for later. */
export const changelogVerdict = (text: string, version: string): Verdict => {
  const entries = text.split(/^## /m).slice(1)
  const titleOf = (entry: string): string => entry.split('\n', 1)[0]?.trim() ?? ''
  const todo = `Give the changes of this version the heading "## ${version}" in CHANGELOG.md`
  if (entries.some((entry) => titleOf(entry) === 'Pending'))
    return failed('CHANGELOG.md still has changes under "## Pending"', todo)
  const [newest = ''] = entries
  if (titleOf(newest).split(' ', 1)[0] !== version)
    return failed(`the newest entry of CHANGELOG.md is "${titleOf(newest)}", and not ${version}`, todo)
  if (!/^- /m.test(newest)) return failed(`CHANGELOG.md says nothing of ${version}`, 'Write down what changed')
  return ok(`CHANGELOG.md has an entry for ${version}`)
}
