import { Command } from 'commander'
import { environmentWith, type StoreFlags, storeOptions, withStoreFlags } from '../configuration.js'
import { examine } from '../doctor/examine.js'
import { type Finding, isToBeMended } from '../doctor/finding.js'
import { EndsWith, EXIT } from '../exits.js'
import { green, red, report, yellow } from '../output.js'

const DESCRIPTION =
  'Reaches every server, compares the schema with the one that this version expects, and looks at time-outs, ' +
  'evictions, connections, lives of sessions, clocks, lists of cache servers and TLS. Says what is wrong, and what to ' +
  'do. Changes nothing. Ends with 1 if something has to be mended; notes do not count.'

/** `nonstick doctor`: what is wrong with the tiers, and what to do about it. */
export const doctorCommand = (): Command =>
  withStoreFlags(
    new Command('doctor').summary('find what is wrong with the servers, and what to do').description(DESCRIPTION),
  ).action(async (flags: StoreFlags) => doctor(flags))

const doctor = async (flags: StoreFlags): Promise<void> => {
  const { options, read } = await storeOptions('doctor', flags)
  const { cache, backend } = options
  try {
    const { findings, ...healths } = await examine({ options, read, env: environmentWith(flags, process.env) })
    const result = { healthy: !findings.some(isToBeMended), findings, ...healths }
    report(flags, result, () => [...findings.flatMap(linesOf), summary(findings)])
    if (!result.healthy) throw new EndsWith(EXIT.fault)
  } finally {
    await Promise.all([cache?.close(), backend?.close()])
  }
}

const MARKS = { fault: red('fault  '), warning: yellow('warning'), note: 'note   ' } as const

const linesOf = ({ severity, check, tier, finding, cure }: Finding): readonly string[] => [
  `${MARKS[severity]} ${tier}: ${finding}`,
  `        What to do: ${cure} (${check})`,
  '',
]

const summary = (findings: readonly Finding[]): string => {
  const mend = findings.filter(isToBeMended).length
  if (mend === 0) return green(findings.length === 0 ? 'All is well.' : 'Nothing has to be mended.')
  return `${mend} ${mend === 1 ? 'thing has' : 'things have'} to be mended.`
}
