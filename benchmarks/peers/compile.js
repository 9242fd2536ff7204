// node compile.js NODE_MODULES SOURCE: the contract's bytecode and its selectors as JSON. Nothing is fetched.
const fs = require("fs")
const path = require("path")
const solc = require(path.join(path.resolve(process.argv[2]), "solc"))

const input = {
  language: "Solidity",
  sources: { source: { content: fs.readFileSync(process.argv[3], "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 200 },
    viaIR: true,
    evmVersion: "shanghai",
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.methodIdentifiers"] } },
  },
}
const output = JSON.parse(solc.compile(JSON.stringify(input)))
const problems = (output.errors || []).filter((one) => one.severity === "error")
if (problems.length) {
  console.error(problems.map((one) => one.formattedMessage).join("\n"))
  process.exit(1)
}
const [contract] = Object.values(output.contracts.source)
console.log(JSON.stringify({ code: contract.evm.bytecode.object, selectors: contract.evm.methodIdentifiers }))
