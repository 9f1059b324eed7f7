//! Tells the crate which FFmpeg it is built against, as far as its calls differ.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_coded_side_data)");
    // Set by ffmpeg-sys-next, which asked the headers.
    if std::env::var_os("DEP_FFMPEG_FFMPEG_6_1").is_some_and(|value| value == "true") {
        println!("cargo:rustc-cfg=has_coded_side_data");
    }
}
