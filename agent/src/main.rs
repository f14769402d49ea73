//! The binary `mantle`.

fn main() -> std::process::ExitCode {
    mantle::command::main()
}
